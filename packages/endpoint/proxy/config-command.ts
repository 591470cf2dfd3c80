/**
 * CONFIG: the settings that Azure lets users read and write, and no other (engine rule 6). An ACL
 * cannot say "CONFIG GET maxmemory-policy but not CONFIG GET primaryauth", so client users have no
 * CONFIG at all; the endpoint asks on a connection of an internal user, after its own check.
 */
import { encodeCommand } from '../../resp/index.ts';
import { fail, type Handler, refuse } from './dispatch.ts';
import type { Lane } from './lane.ts';
import { array, bulk } from './raw-reply.ts';
import { textOf } from './route.ts';
import { type Session, STALLED, TAKEN } from './session.ts';
import { globMatches } from './subscriptions.ts';

/** Readable and writable, with the range that Azure allows where it names one. */
const SETTABLE: ReadonlyMap<string, readonly [low: number, high: number] | null> = new Map([
  ['activerehashing', null],
  ['busy-reply-threshold', [0, 60_000]],
  ['lua-time-limit', [0, 60_000]],
  ['hash-max-listpack-entries', null],
  ['hash-max-listpack-value', null],
  ['hash-max-ziplist-entries', null],
  ['hash-max-ziplist-value', null],
  ['hll-sparse-max-bytes', null],
  ['list-compress-depth', null],
  ['list-max-listpack-size', null],
  ['list-max-ziplist-size', null],
  ['notify-keyspace-events', null],
  ['set-max-intset-entries', null],
  ['slowlog-log-slower-than', [1000, Number.MAX_SAFE_INTEGER]],
  ['slowlog-max-len', [128, 1024]],
  ['stream-node-max-bytes', null],
  ['stream-node-max-entries', null],
  ['zset-max-listpack-entries', null],
  ['zset-max-listpack-value', null],
  ['zset-max-ziplist-entries', null],
  ['zset-max-ziplist-value', null],
]);
/** Readable besides: what clients ask for to learn how the server behaves. */
const READABLE = new Set([
  'maxmemory',
  'maxmemory-policy',
  'timeout',
  'databases',
  'save',
  'appendonly',
  'proto-max-bulk-len',
]);

export const configCommand: Handler = (call) => {
  const { session, command, bytes, args } = call;
  const words: string[] = [];
  for (let i = 2; i < args.count; i++) words.push(textOf(bytes, args, i));
  switch (command.name) {
    case 'config|get':
      return get(session, words);
    case 'config|set':
      return set(session, words);
    case 'config|help':
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
    default:
      return refuse(session, "-ERR unknown subcommand 'RESETSTAT'. Try CONFIG HELP.\r\n");
  }
};

/** Lanes of the internal user; STALLED, or the reason why there are none. */
function serviceLanes(session: Session): readonly Lane[] | typeof STALLED | string {
  const { proxy } = session;
  const { service } = proxy.view;
  if (service === undefined)
    return 'config-unavailable: the control plane gave this endpoint no user for CONFIG';
  const lanes: Lane[] = [];
  for (const shard of proxy.world.topology.serving) {
    if (session.overdue) return 'shard-down: the setting was not changed';
    const group = shard.group({
      user: '',
      twin: service.name,
      password: service.password,
      protocol: session.state.protocol,
      database: 0,
      tracking: null,
      noTouch: false,
    });
    const lane = shard.smallLane(group);
    if (lane === null) {
      session.stallFor(shard);
      return STALLED;
    }
    lanes.push(lane);
  }
  return lanes;
}

function get(session: Session, patterns: readonly string[]): number {
  const names = [...SETTABLE.keys(), ...READABLE].filter((name) =>
    patterns.some((pattern) => globMatches(pattern.toLowerCase(), name)),
  );
  const map = session.state.protocol === 3 ? '%' : '*';
  if (names.length === 0) {
    session.reply(`${map}0\r\n`);
    return TAKEN;
  }
  const lanes = serviceLanes(session);
  if (lanes === STALLED) return STALLED;
  const lane = typeof lanes === 'string' ? undefined : lanes[0];
  if (lane === undefined) {
    return typeof lanes === 'string' ? refuse(session, `-ERR ${lanes}\r\n`) : fail(session, null);
  }
  const place = session.order.place(null);
  lane.question(['CONFIG', 'GET', ...names], (reply) => {
    session.fill(place, reply ?? Buffer.from('-ERR shard-lost: no answer\r\n'));
  });
  return TAKEN;
}

function set(session: Session, words: readonly string[]): number {
  if (words.length % 2 !== 0)
    return refuse(session, "-ERR wrong number of arguments for 'config|set' command\r\n");
  for (let i = 0; i < words.length; i += 2) {
    const name = (words[i] ?? '').toLowerCase();
    const range = SETTABLE.get(name);
    if (range === undefined) {
      return refuse(
        session,
        `-ERR Unknown option or number of arguments for CONFIG SET - '${name.slice(0, 64).replace(/[\r\n]/g, ' ')}'\r\n`,
      );
    }
    const value = Number(words[i + 1]);
    if (range !== null && !(value >= range[0] && value <= range[1])) {
      return refuse(
        session,
        `-ERR CONFIG SET failed (possibly related to argument '${name}') - argument must be between ${range[0]} and ${range[1]} inclusive\r\n`,
      );
    }
  }
  const lanes = serviceLanes(session);
  if (lanes === STALLED) return STALLED;
  if (typeof lanes === 'string') return refuse(session, `-ERR ${lanes}\r\n`);
  const place = session.order.place(null);
  const replies: (Buffer | null)[] = [];
  const ask = encodeCommand(['CONFIG', 'SET', ...words]);
  for (const lane of lanes) {
    const answered = (reply: Buffer | null): void => {
      replies.push(reply);
      if (replies.length < lanes.length) return;
      const bad = replies.find((each) => each === null || each[0] === 45);
      session.fill(
        place,
        bad === undefined
          ? Buffer.from('+OK\r\n')
          : (bad ??
              Buffer.from(
                '-OUTCOMEUNKNOWN a shard was lost; the setting may have been changed on some\r\n',
              )),
      );
    };
    lane.ask(null, null, ask, 1, { onReply: answered, onLost: () => answered(null) });
  }
  return TAKEN;
}
