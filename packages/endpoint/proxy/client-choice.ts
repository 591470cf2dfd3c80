/** Which clients CLIENT LIST and CLIENT KILL mean, and how one is described. */
import type { DatabaseView } from '../control-protocol.ts';
import type { ProxyPath } from './proxy.ts';
import { integerOf } from './route.ts';
import type { Session } from './session.ts';

/** Filters as a client gave them: name, value, name, value; plain data, so that it can travel. */
export interface Choice {
  readonly filters: readonly (readonly [name: string, value: string])[];
  /** Leaves out the client that asks. */
  readonly skipMe: boolean;
}

const TYPES = new Set(['normal', 'master', 'primary', 'replica', 'slave', 'pubsub']);
const TEXTS: Readonly<Record<string, (session: Session) => string>> = {
  addr: (session) => session.client.address,
  laddr: (session) => localAddress(session),
  user: (session) => session.state.user?.name ?? '',
  name: (session) => session.state.name,
  'lib-name': (session) => session.state.libName,
  'lib-ver': (session) => session.state.libVersion,
  db: (session) => String(session.state.database),
  ip: (session) => {
    const { address } = session.client;
    return address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  },
};

/** Reads filters from `words`, or answers the error that the engine would. */
export function readChoice(
  words: readonly string[],
  skipMe: boolean,
  { users }: DatabaseView,
): Choice | string {
  const filters: [string, string][] = [];
  let skip = skipMe;
  for (let i = 0; i < words.length; i += 2) {
    const name = (words[i] ?? '').toLowerCase();
    const plain = name.startsWith('not-') ? name.slice(4) : name;
    const value = words[i + 1];
    if (value === undefined) return 'syntax error';
    if (plain === 'skipme') {
      const yes = value.toLowerCase();
      if (yes !== 'yes' && yes !== 'no') return 'syntax error';
      skip = yes === 'yes';
    } else if (plain === 'id') {
      const ids = [value];
      for (; /^\d+$/.test(words[i + 2] ?? ''); i++) ids.push(words[i + 2] ?? '');
      if (integerOf(value) === null) return 'syntax error';
      if (ids.some((id) => !/^[1-9]\d{0,15}$/.test(id))) {
        return 'client-id should be greater than 0';
      }
      filters.push([name, ids.join(' ')]);
    } else if (plain === 'type') {
      if (!TYPES.has(value.toLowerCase())) return `Unknown client type '${value.slice(0, 64)}'`;
      filters.push([name, value.toLowerCase()]);
    } else if (plain === 'maxage' || plain === 'idle') {
      const seconds = integerOf(value);
      if (seconds === null) return `${plain} is not an integer or out of range`;
      if (seconds <= 0) return `${plain} should be greater than 0`;
      filters.push([name, value]);
    } else if (plain === 'user' && !users.some((user) => user.name === value)) {
      return `No such user '${value.slice(0, 64)}'`;
    } else if (TEXTS[plain] !== undefined) filters.push([name, value]);
    else return 'syntax error';
  }
  return { filters, skipMe: skip };
}

/** The sessions of this worker that are meant, oldest first. */
export function chosenBy(proxy: ProxyPath, choice: Choice, me: Session | null): Session[] {
  return [...proxy.sessions.values()]
    .filter((session) => !session.gone && !(choice.skipMe && session === me))
    .filter((session) => choice.filters.every(([name, value]) => matches(session, name, value)))
    .sort((a, b) => a.client.number - b.client.number);
}

function matches(session: Session, name: string, value: string): boolean {
  if (name.startsWith('not-')) return !matches(session, name.slice(4), value);
  const now = session.proxy.world.host.now();
  switch (name) {
    case 'id':
      return value.split(' ').includes(String(session.client.number));
    case 'type':
      return (session.state.subscriber === null ? 'normal' : 'pubsub') === value;
    case 'maxage':
      return session.client.openedAt <= now - Number(value) * 1000;
    case 'idle':
      return performance.now() - session.activeAt >= Number(value) * 1000;
    default:
      return TEXTS[name]?.(session) === value;
  }
}

function localAddress(session: Session): string {
  const { socket } = session.client;
  const host = socket.localAddress ?? '';
  return `${host.includes(':') ? `[${host}]` : host}:${socket.localPort ?? 0}`;
}

/** One line as CLIENT LIST shows it, without its end. */
export function describe(session: Session): string {
  const { client, state } = session;
  const now = performance.now();
  const seconds = (ms: number): number => Math.max(0, Math.floor(ms / 1000));
  const age = seconds(session.proxy.world.host.now() - client.openedAt);
  const subscribed = state.subscriber?.counts() ?? { channels: 0, patterns: 0, shard: 0 };
  const flags =
    (session.proxy.monitors.has(session) ? 'O' : '') +
    (state.mode.kind === 'transaction' ? 'x' : '') +
    (state.subscriber !== null ? 'P' : '') +
    (state.tracking !== null ? 't' : '') +
    (session.gated ? 'b' : '');
  return [
    `id=${client.number}`,
    `addr=${client.address}`,
    `laddr=${localAddress(session)}`,
    `name=${state.name}`,
    `age=${age}`,
    `idle=${seconds(now - session.activeAt)}`,
    `flags=${flags === '' ? 'N' : flags}`,
    `db=${state.database}`,
    `sub=${subscribed.channels}`,
    `psub=${subscribed.patterns}`,
    `ssub=${subscribed.shard}`,
    `multi=${state.mode.kind === 'transaction' ? state.mode.transaction.length : -1}`,
    `watch=${state.watch === null ? 0 : 1}`,
    `obl=0 oll=0 omem=${session.output.unwritten}`,
    `tot-cmds=${session.commands}`,
    `cmd=${session.lastCommand === '' ? 'NULL' : session.lastCommand}`,
    `user=${state.user?.name ?? ''}`,
    `resp=${state.protocol}`,
    `lib-name=${state.libName}`,
    `lib-ver=${state.libVersion}`,
  ].join(' ');
}
