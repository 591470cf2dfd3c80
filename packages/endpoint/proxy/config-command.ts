/**
 * CONFIG: the settings that Azure lets users read and write, and no other (engine rule 6). An ACL
 * cannot say "CONFIG GET maxmemory-policy but not CONFIG GET primaryauth", so client users have no
 * CONFIG at all. Reading goes over a connection of an internal user, after our own check. Writing goes
 * to the control plane: a setting belongs on every copy of every shard, those that are to come
 * included, so it is recorded before anybody hears that it was set. No user of the endpoint can change
 * an engine.
 */
import { AZURE_SETTINGS, readSettings } from '../../resp/table/index.ts';
import { type Call, fail, type Handler, refuse } from './dispatch.ts';
import { globMatches } from './glob.ts';
import type { Lane } from './lane.ts';
import { array, bulk } from './raw-reply.ts';
import { textOf } from './route.ts';
import { serviceGroup } from './service-group.ts';
import { type Session, STALLED, TAKEN } from './session.ts';

/** Readable besides: what clients ask for to learn how the server behaves. */
const READABLE = [
  'maxmemory',
  'maxmemory-policy',
  'timeout',
  'databases',
  'save',
  'appendonly',
  'proto-max-bulk-len',
];

export const configCommand: Handler = (call) => {
  const { session, command, bytes, args } = call;
  const words: string[] = [];
  for (let i = 2; i < args.count; i++) words.push(textOf(bytes, args, i));
  switch (command.name) {
    case 'config|get':
      return get(call, words);
    case 'config|set':
      return set(call, words);
    default:
      session.reply(
        array(
          [
            'CONFIG <subcommand> [<arg> [value] ...]. Subcommands are:',
            'GET <pattern> [<pattern> ...]',
            'SET <directive> <value> [<directive> <value> ...]',
          ].map(bulk),
        ),
      );
      return TAKEN;
  }
};

/** A lane of the internal user to any shard; STALLED, or the reason why there is none. */
function serviceLane(session: Session): Lane | typeof STALLED | string | null {
  const { proxy } = session;
  const { service } = proxy.view;
  if (service === undefined)
    return 'config-unavailable: the control plane gave this endpoint no user for CONFIG';
  const shard = proxy.world.topology.serving[0];
  if (shard === undefined) return null;
  if (session.overdue(shard)) return 'shard-down: no shard answered';
  const group = serviceGroup(shard, service, session.state.protocol);
  const lane = shard.smallLane(group);
  if (lane !== null) return lane;
  session.stallFor(shard);
  return STALLED;
}

function get({ session, command }: Call, patterns: readonly string[]): number {
  const names = [...AZURE_SETTINGS, ...READABLE].filter((name) =>
    patterns.some((pattern) => globMatches(pattern.toLowerCase(), name)),
  );
  const map = session.state.protocol === 3 ? '%' : '*';
  if (names.length === 0) {
    session.reply(`${map}0\r\n`);
    return TAKEN;
  }
  const lane = serviceLane(session);
  if (lane === STALLED) return STALLED;
  if (lane === null) return fail(session, null);
  if (typeof lane === 'string') return refuse(session, `-ERR ${lane}\r\n`);
  const place = session.order.place(command);
  lane.question(['CONFIG', 'GET', ...names], (reply) => {
    session.fill(place, reply ?? Buffer.from('-ERR shard-lost: no answer\r\n'));
  });
  return TAKEN;
}

function set({ session, command }: Call, words: readonly string[]): number {
  const read = readSettings(words);
  if ('problem' in read) return refuse(session, `-ERR ${read.problem}\r\n`);
  const place = session.order.place(command);
  session.proxy.settings.ask(session.client.id, read.settings, (error) => {
    session.fill(place, Buffer.from(error === null ? '+OK\r\n' : `-${error}\r\n`));
  });
  return TAKEN;
}
