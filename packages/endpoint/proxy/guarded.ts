/** Applies a guard rule to a command. A rule with a size asks the engine for it first, on the same lane. */
import { encodeCommand } from '../../resp/index.ts';
import type { GuardRule } from '../control-protocol.ts';
import { type Call, fail, refuse } from './dispatch.ts';
import { printable } from './large-keys.ts';
import { Part } from './part.ts';
import { integer } from './raw-reply.ts';
import { bytesOf, firstSlot } from './route.ts';
import { STALLED, TAKEN } from './session.ts';

/** Null: the rule does not concern this call; it is executed as always. */
export function guarded(call: Call, rule: GuardRule): number | null {
  const { session, command, bytes, args } = call;
  const { guard, world } = session.proxy;
  const sizeCommand = guard.sizeCommand(command.name);
  if (rule.above === 0 || sizeCommand === null || command.firstKey === 0) {
    note(call, rule, null);
    return rule.action === 'refuse' ? refuse(session, guard.refusal(rule, null)) : null;
  }
  const slot = firstSlot(command, bytes, args);
  const shard = world.topology.ofSlot(slot);
  if (shard === null || session.overdue) return fail(session, shard);
  const lane = session.laneFor(shard, false);
  if (lane === null) return STALLED;
  const key = Buffer.from(bytesOf(bytes, args, command.firstKey));
  const whole = Buffer.from(bytes.subarray(call.start, call.end));
  const place = session.order.place(command);
  // What follows must not overtake it.
  session.gate(1);
  const ask = encodeCommand([sizeCommand, key]);
  new Part(session, command, lane, slot, ask, 1, (result) => {
    const reply = result.kind === 'replies' ? result.replies[0] : undefined;
    session.gate(-1);
    const size = reply !== undefined && reply[0] === 58 ? integer(reply) : 0;
    if (size > rule.above) note(call, rule, size);
    if (size > rule.above && rule.action === 'refuse') {
      session.fill(place, Buffer.from(guard.refusal(rule, size)));
      return;
    }
    const again = session.lanes.take(shard, false);
    if (again === null) {
      session.fill(place, Buffer.from('-CLUSTERDOWN the shard is not available; not executed\r\n'));
      return;
    }
    new Part(session, command, again, slot, whole, 1, (answer) => {
      const found = answer.kind === 'replies' ? answer.replies[0] : undefined;
      session.fill(place, found ?? Buffer.from('-ERR shard-lost: no answer\r\n'));
    });
  });
  return TAKEN;
}

function note(call: Call, rule: GuardRule, size: number | null): void {
  const { session, command, bytes, args } = call;
  const { world } = session.proxy;
  const key = command.firstKey > 0 && command.firstKey < args.count;
  world.large.note({
    kind: 'guard',
    client: session.id,
    command: command.name,
    key: key ? printable(bytesOf(bytes, args, command.firstKey)) : '',
    bytes: size ?? 0,
    ms: 0,
    behind: 0,
  });
  world.host.emit({
    type: 'event',
    at: world.host.now(),
    kind: 'limit',
    database: session.proxy.view.id,
    limit: `guard-${rule.action}`,
    detail: `${command.name} by ${session.id}`,
  });
}
