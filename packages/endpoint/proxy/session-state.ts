/** What a connection has told us about itself: user, protocol, name, and the mode it is in. */
import type { UserView } from '../control-protocol.ts';
import type { ExecRun } from './exec-run.ts';
import type { Lane } from './lane.ts';
import type { LaneLogin } from './lane-login.ts';
import { UNAUTHENTICATED_OUTPUT_BYTES } from './limits.ts';
import { ClientLatency } from './meter.ts';
import type { Session } from './session.ts';
import type { SubscriberState } from './subscriptions.ts';
import type { TrackingState } from './tracking.ts';
import type { Transaction } from './transaction.ts';
import type { Watch } from './watch.ts';

/**
 * open: commands are executed as they come.
 * transaction: they are queued until EXEC.
 */
export type Mode =
  | { readonly kind: 'open' }
  | { readonly kind: 'transaction'; readonly transaction: Transaction };

/** CLIENT REPLY. skip-next: the next command's reply is dropped. */
export type Replies = 'on' | 'off' | 'skip-next';

const OPEN: Mode = { kind: 'open' };

export class SessionState {
  readonly #session: Session;
  user: UserView | null = null;
  /** SHA-256 of the key it logged in with. */
  secretHash = '';
  protocol: 2 | 3 = 2;
  database = 0;
  name = '';
  libName = '';
  libVersion = '';
  readonly latency = new ClientLatency();
  replies: Replies = 'on';
  /** Reason of an end that waits for the replies that are due. */
  ending = '';
  watch: Watch | null = null;
  subscriber: SubscriberState | null = null;
  tracking: TrackingState | null = null;
  /** CLIENT CACHING: what the next command says to tracking with OPTIN or OPTOUT. */
  caching: 'YES' | 'NO' | null = null;
  noTouch = false;
  /** Id of the command whose last reply here was large; -1: none. The next one's may be, too. */
  largeCommand = -1;
  /** Bytes of that reply; 0: it was not large. */
  largeReply = 0;
  /** READONLY was said: its reads may go to replicas. */
  readonly = false;
  /** An EXEC that is not over: commands of it are answered here. Nothing newer is begun. */
  running: ExecRun | null = null;
  #mode: Mode = OPEN;
  #login: LaneLogin | null = null;
  /** Commands may take the short way. */
  plain = false;

  constructor(session: Session) {
    this.#session = session;
  }

  get mode(): Mode {
    return this.#mode;
  }

  setMode(mode: Mode): void {
    this.#mode = mode;
    this.refresh();
  }

  open(): void {
    this.setMode(OPEN);
  }

  setRunning(run: ExecRun | null): void {
    this.running = run;
    this.refresh();
  }

  /** To be called after any change: whether the short way is allowed is decided in one place. */
  refresh(): void {
    const { lanes, proxy } = this.#session;
    lanes.readFromReplicas(
      (this.readonly || proxy.view.readFrom === 'replica') && this.tracking === null,
    );
    // Where a read may go depends on what was sent just before: such sessions take the long way.
    this.plain =
      this.user !== null &&
      this.#mode.kind === 'open' &&
      this.running === null &&
      this.replies === 'on' &&
      !lanes.replicaReads &&
      this.caching === null &&
      (this.subscriber === null || this.protocol === 3) &&
      this.ending === '' &&
      this.#session.proxy.shortWay;
  }

  logIn(user: UserView, secretHash: string): void {
    this.user = user;
    this.secretHash = secretHash;
    this.#relogin();
    this.refresh();
  }

  /** RESET: as a new connection. */
  logOut(): void {
    this.user = null;
    this.secretHash = '';
    this.protocol = 2;
    this.database = 0;
    this.noTouch = false;
    this.readonly = false;
    this.caching = null;
    this.setReplies('on');
    this.#login = null;
    this.#mode = OPEN;
    this.#session.lanes.forget();
    this.refresh();
  }

  setProtocol(protocol: 2 | 3): void {
    this.protocol = protocol;
    this.#relogin();
    this.refresh();
  }

  /** Tracking sessions have lanes of their own. */
  setTracking(tracking: TrackingState | null): void {
    this.tracking = tracking;
    this.#relogin();
    this.refresh();
  }

  setReplies(replies: Replies): void {
    this.replies = replies;
    this.#session.order.muting = replies === 'off';
    this.refresh();
  }

  setCaching(caching: 'YES' | 'NO' | null): void {
    this.caching = caching;
    this.refresh();
  }

  /** Ahead of the command that it concerns, in the same write. */
  sayCaching(lane: Lane): void {
    if (this.caching !== null) lane.question(['CLIENT', 'CACHING', this.caching], () => undefined);
  }

  /** A command was sent: CLIENT CACHING concerned it alone, or all of a MULTI. */
  cachingUsed(): void {
    if (this.#mode.kind !== 'transaction') this.setCaching(null);
  }

  /** Reads of such sessions do not count as use of a key: their lanes have said so. */
  setNoTouch(noTouch: boolean): void {
    this.noTouch = noTouch;
    this.#relogin();
  }

  selectDatabase(database: number): void {
    this.database = database;
    this.#relogin();
    this.refresh();
  }

  /** Other lanes from now on. What was watched on the old one is lost: EXEC says so. */
  #relogin(): void {
    this.#login = null;
    this.#session.lanes.forget();
    if (this.watch !== null) this.watch.broken = true;
    else this.#session.lanes.releaseOwn(false);
  }

  /** Bytes of answers and messages that may wait for this client. */
  get most(): number {
    return this.user === null
      ? UNAUTHENTICATED_OUTPUT_BYTES
      : this.#session.proxy.view.limits.outputBufferBytes;
  }

  /** What its lanes log in as. */
  get login(): LaneLogin {
    if (this.#login !== null) return this.#login;
    const twin = this.user?.twin;
    this.#login = {
      user: this.user?.name ?? '',
      twin: twin?.name ?? '',
      password: twin?.password ?? '',
      protocol: this.protocol,
      database: this.database,
      tracking: this.tracking,
      noTouch: this.noTouch,
    };
    return this.#login;
  }

  /** The twin's password or rules changed: the next lane is another one. */
  newUserView(user: UserView): void {
    const before = this.user;
    this.user = user;
    if (before?.twin.name !== user.twin.name || before.twin.password !== user.twin.password) {
      this.#login = null;
      this.#session.lanes.forget();
    }
  }

  /** Nothing is due to the client any more. */
  quiet(): void {
    this.tracking?.quiet();
    if (this.ending === '' || this.#session.gone || this.#session.lanes.total > 0) return;
    if (this.running !== null) return;
    this.#session.end(this.ending, '');
  }

  leave(): void {
    this.watch?.drop();
    this.watch = null;
    this.subscriber?.leave();
    this.subscriber = null;
    this.tracking?.leave();
    this.tracking = null;
  }

  describe(): string {
    if (this.user === null) return 'not-logged-in';
    if (this.#session.proxy.monitors.has(this.#session)) return 'monitor';
    if (this.#mode.kind !== 'open') return this.#mode.kind;
    if (this.subscriber !== null) return 'subscribed';
    return this.#session.stalled === '' ? 'open' : this.#session.stalled;
  }
}
