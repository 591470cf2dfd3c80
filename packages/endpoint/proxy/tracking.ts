/**
 * CLIENT TRACKING (engine rule 20). The engine remembers what each *connection* has read, so a
 * tracking session cannot share lanes: it gets lanes of its own, opened as it touches shards, on
 * which tracking was switched on before anything else. That is all: such lanes belong to a login that
 * nobody else has (`LaneLogin.tracking`), and everything else works as always.
 *
 * What a lost connection knew is lost with it, so when one of these lanes ends (failover, a crash) the
 * client is told to forget everything: one needless miss instead of a stale value. The same when slots
 * change hands: an engine that gives a slot away says nothing of its keys (Valkey 9.1.2), and what
 * changes at the new owner is no news of the old one's.
 */
import { type Call, refuse } from './dispatch.ts';
import { LANE_RETRY_MS } from './limits.ts';
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
  #moved = false;
  #opening: NodeJS.Timeout | null = null;

  constructor(session: Session, flags: readonly string[], prefixes: readonly string[]) {
    this.session = session;
    this.flags = flags;
    this.prefixes = prefixes;
    this.prelude = [
      'CLIENT',
      'TRACKING',
      'ON',
      ...flags.map((flag) => flag.toUpperCase()),
      // The empty one takes in the others, and together with them it would be refused.
      ...(prefixes.includes('') ? [] : prefixes.flatMap((prefix) => ['PREFIX', prefix])),
    ];
    session.proxy.world.tracking.add(this);
  }

  /** It hears of all keys, read or not: so it needs every shard at once. */
  get broadcast(): boolean {
    return this.flags.includes('bcast');
  }

  /** A push of one of its lanes: goes out before any later reply of that shard. */
  pushed(bytes: Buffer): void {
    if (!this.#over) this.session.message(bytes);
  }

  laneLost(): void {
    if (this.#over) return;
    this.session.message(FORGET_ALL);
    // What changes until there is a lane again goes unheard: so it is said once more then.
    if (this.broadcast) this.openAll(() => this.#over || this.session.message(FORGET_ALL));
  }

  slotsMoved(): void {
    if (this.#over) return;
    this.session.message(FORGET_ALL);
    this.#moved = this.session.lanes.total > 0;
  }

  /** What was under way when slots moved may have brought values of the old owner. */
  quiet(): void {
    if (!this.#moved) return;
    this.#moved = false;
    if (!this.#over) this.session.message(FORGET_ALL);
  }

  /** The slots of a shard that is new are somewhere else now. */
  topologyChanged(): void {
    if (this.broadcast && !this.#allOpen()) this.laneLost();
  }

  /** A lane to every shard. Calls back when all are there, however long that takes. */
  openAll(done: () => void): void {
    if (this.#opening !== null) return;
    const look = (): void => {
      this.#opening = null;
      if (this.#over || this.session.gone) return;
      if (this.#allOpen()) return done();
      this.#opening = setTimeout(look, LANE_RETRY_MS);
    };
    look();
  }

  #allOpen(): boolean {
    const { lanes, proxy } = this.session;
    // Each is asked, because asking is what opens it.
    const open = proxy.world.topology.serving.map(
      (shard) => shard.smallLane(lanes.groupOf(shard)) !== null,
    );
    return open.every(Boolean);
  }

  /** Its lanes end with it. */
  leave(): void {
    this.#over = true;
    this.session.proxy.world.tracking.delete(this);
    if (this.#opening !== null) clearTimeout(this.#opening);
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
      array([...(tracking?.prefixes ?? [])].sort().map(bulk)),
    ];
    session.reply(three ? Buffer.concat([Buffer.from('%3\r\n'), ...items]) : array(items));
    return TAKEN;
  }
  if (sub === 'caching') return caching(call);
  return track(call);
}

/** Concerns the next command (or the next MULTI as a whole), and travels with it. */
function caching({ session, bytes, args }: Call): number {
  const { state } = session;
  const yes = textOf(bytes, args, 2).toLowerCase();
  const { tracking } = state;
  if (tracking === null) {
    return refuse(
      session,
      '-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled\r\n',
    );
  }
  if (yes !== 'yes' && yes !== 'no') return refuse(session, '-ERR syntax error\r\n');
  const needed = yes === 'yes' ? 'optin' : 'optout';
  if (!tracking.flags.includes(needed)) {
    const mode = needed.toUpperCase();
    return refuse(
      session,
      `-ERR CLIENT CACHING ${yes.toUpperCase()} is only valid when tracking is enabled in ${mode} mode.\r\n`,
    );
  }
  state.setCaching(yes === 'yes' ? 'YES' : 'NO');
  session.reply('+OK\r\n');
  return TAKEN;
}

const FLAGS = new Set(['bcast', 'noloop', 'optin', 'optout']);

function track(call: Call): number {
  const { session, bytes, args } = call;
  const { state, lanes, order } = session;
  const mode = textOf(bytes, args, 2).toLowerCase();
  const flags: string[] = [];
  const prefixes: string[] = [];
  for (let i = 3; i < args.count; i++) {
    const option = textOf(bytes, args, i).toLowerCase();
    if (FLAGS.has(option)) flags.push(option);
    else if (option === 'prefix' && i + 1 < args.count) prefixes.push(textOf(bytes, args, ++i));
    else if (option === 'redirect') {
      return refuse(
        session,
        '-ERR tracking-option-unsupported: REDIRECT is for RESP2, which this endpoint does not offer tracking for; say HELLO 3 and leave it out\r\n',
      );
    } else return refuse(session, '-ERR syntax error\r\n');
  }
  if (mode !== 'on' && mode !== 'off') return refuse(session, '-ERR syntax error\r\n');
  const wrong = mode === 'on' ? contradiction(flags, prefixes, state.tracking) : null;
  if (wrong !== null) return refuse(session, `-ERR ${wrong}\r\n`);
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
  const before = mode === 'on' ? (state.tracking?.prefixes ?? []) : [];
  // What it has read was told on lanes that end here.
  const forget = mode === 'on' && state.tracking !== null;
  state.tracking?.leave();
  const added = flags.includes('bcast') && prefixes.length === 0 ? [''] : prefixes;
  const all = [...new Set([...before, ...added])];
  state.setTracking(mode === 'on' ? new TrackingState(session, flags, all) : null);
  if (state.tracking?.broadcast !== true) {
    session.reply('+OK\r\n');
    if (forget) session.message(FORGET_ALL);
    return TAKEN;
  }
  // It is on when every shard has been told: a change right after the answer must be heard.
  const place = order.place(call.command);
  session.gate(1);
  state.tracking.openAll(() => {
    session.gate(-1);
    session.fill(place, Buffer.from('+OK\r\n'));
    if (forget) session.message(FORGET_ALL);
  });
  return TAKEN;
}

/** What the engine refuses, in its words; here, because its answer on a lane would come too late. */
function contradiction(
  flags: readonly string[],
  prefixes: readonly string[],
  now: TrackingState | null,
): string | null {
  const has = (flag: string): boolean => flags.includes(flag);
  if (prefixes.length > 0 && !has('bcast')) {
    return 'PREFIX option requires BCAST mode to be enabled';
  }
  if (now !== null && now.broadcast !== has('bcast')) {
    return "You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.";
  }
  if (has('bcast') && (has('optin') || has('optout'))) {
    return 'OPTIN and OPTOUT are not compatible with BCAST';
  }
  if (has('optin') && has('optout')) return "You can't specify both OPTIN mode and OPTOUT mode";
  const other = has('optin') ? 'optout' : 'optin';
  if (now !== null && (has('optin') || has('optout')) && now.flags.includes(other)) {
    return "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.";
  }
  for (const [i, prefix] of prefixes.entries()) {
    const others = [...(now?.prefixes ?? []), ...prefixes.slice(0, i)];
    const clash = others.find(
      (other) => other !== prefix && (other.startsWith(prefix) || prefix.startsWith(other)),
    );
    if (clash !== undefined) {
      return `Prefix '${prefix}' overlaps with an existing prefix '${clash}'. Prefixes for a single client must not overlap.`;
    }
  }
  return null;
}
