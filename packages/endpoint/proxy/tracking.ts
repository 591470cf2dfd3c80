/**
 * CLIENT TRACKING (engine rule 20). The engine remembers what each *connection* has read, so a
 * tracking session cannot share lanes: it gets lanes of its own, opened as it touches shards, on
 * which tracking was switched on before anything else. That is all: such lanes belong to a login that
 * nobody else has (`LaneLogin.tracking`), and everything else works as always.
 *
 * What a lost connection knew is lost with it, so when one of these lanes ends (failover, slot move,
 * a crash) the client is told to forget everything: one needless miss instead of a stale value.
 */
import { type Call, refuse } from './dispatch.ts';
import { array, bulk } from './raw-reply.ts';
import { textOf } from './route.ts';
import { type Session, STALLED, TAKEN } from './session.ts';

const FORGET_ALL = Buffer.from('>2\r\n$10\r\ninvalidate\r\n_\r\n');

export class TrackingState {
  readonly session: Session;
  /** CLIENT TRACKING ON with its options, as it is said on every lane. */
  readonly prelude: readonly string[];
  readonly flags: readonly string[];
  readonly prefixes: readonly string[];
  #over = false;

  constructor(session: Session, flags: readonly string[], prefixes: readonly string[]) {
    this.session = session;
    this.flags = flags;
    this.prefixes = prefixes;
    this.prelude = [
      'CLIENT',
      'TRACKING',
      'ON',
      ...flags.map((flag) => flag.toUpperCase()),
      ...prefixes.flatMap((prefix) => ['PREFIX', prefix]),
    ];
  }

  /** A push of one of its lanes: goes out before any later reply of that shard. */
  pushed(bytes: Buffer): void {
    if (!this.#over) this.session.message(bytes);
  }

  laneLost(): void {
    if (!this.#over) this.session.message(FORGET_ALL);
  }

  /** Its lanes end with it. */
  leave(): void {
    this.#over = true;
    for (const shard of this.session.proxy.world.topology.shards) shard.dropTracking(this);
  }
}

export function trackingCommand(call: Call, sub: string): number {
  const { session } = call;
  const { state } = session;
  const { tracking } = state;
  if (sub === 'getredir') {
    session.reply(tracking === null ? ':-1\r\n' : ':0\r\n');
    return TAKEN;
  }
  if (sub === 'trackinginfo') {
    const three = state.protocol === 3;
    const flags = tracking === null ? ['off'] : ['on', ...tracking.flags];
    const items = [
      bulk('flags'),
      array(flags.map(bulk), three ? '~' : '*'),
      bulk('redirect'),
      Buffer.from(tracking === null ? ':-1\r\n' : ':0\r\n'),
      bulk('prefixes'),
      array((tracking?.prefixes ?? []).map(bulk)),
    ];
    session.reply(three ? Buffer.concat([Buffer.from('%3\r\n'), ...items]) : array(items));
    return TAKEN;
  }
  if (sub === 'caching') {
    return refuse(
      session,
      '-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled\r\n',
    );
  }
  return track(call);
}

function track(call: Call): number {
  const { session, bytes, args } = call;
  const { state, lanes, order } = session;
  const mode = textOf(bytes, args, 2).toLowerCase();
  const flags: string[] = [];
  const prefixes: string[] = [];
  for (let i = 3; i < args.count; i++) {
    const option = textOf(bytes, args, i).toLowerCase();
    if (option === 'bcast' || option === 'noloop') flags.push(option);
    else if (option === 'prefix' && i + 1 < args.count) prefixes.push(textOf(bytes, args, ++i));
    else if (option === 'redirect' || option === 'optin' || option === 'optout') {
      return refuse(
        session,
        `-ERR tracking-option-unsupported: ${option.toUpperCase()} is not offered by this endpoint\r\n`,
      );
    } else return refuse(session, '-ERR syntax error\r\n');
  }
  if (mode !== 'on' && mode !== 'off') return refuse(session, '-ERR syntax error\r\n');
  if (prefixes.length > 0 && !flags.includes('bcast')) {
    return refuse(session, '-ERR PREFIX option requires BCAST mode to be enabled\r\n');
  }
  if (state.protocol === 2 && mode === 'on') {
    return refuse(
      session,
      '-ERR tracking-needs-resp3: invalidations are pushes, which RESP2 does not have; say HELLO 3 first\r\n',
    );
  }
  if (order.head !== null || lanes.total > 0) {
    session.stall('order');
    return STALLED;
  }
  state.tracking?.leave();
  state.setTracking(mode === 'on' ? new TrackingState(session, flags, prefixes) : null);
  session.reply('+OK\r\n');
  return TAKEN;
}
