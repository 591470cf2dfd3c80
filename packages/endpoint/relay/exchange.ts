/**
 * Which requests of one client have no reply yet.
 *
 * Mostly a difference of two counters: requests that went by, replies that came back. These are the
 * exceptions, and how each is treated:
 *
 * - **Blocking commands** (BLPOP and its family, XREAD and XREADGROUP with BLOCK, WAIT, WAITAOF):
 *   answered one for one, but perhaps never. A hold does not wait for them, nor for what is
 *   pipelined behind them, which the engine has not begun.
 * - **HELLO** and RESET decide the protocol from their reply on; AUTH, HELLO and CLIENT SETNAME tell
 *   who the client is.
 * - **SUBSCRIBE and its family**, RESP3: answered by a push of their own kind, or by an error. RESP2:
 *   confirmations and messages look like replies, so the client counts as *streaming* from the first
 *   accepted one on: nothing of it is in flight, ever, and its stream has boundaries but no count.
 * - **MONITOR**: streaming, once accepted.
 * - **CLIENT REPLY OFF and SKIP**: streaming from the moment everything before it is answered.
 * - **RESET** does not end streaming: nothing tells the lines before it from the lines after.
 * - **Pushes** (client tracking, messages in RESP3): answers to nothing.
 * - A stream that is not RESP on either side: streaming, and never at a boundary.
 *
 * A client that streams is not waited for by a hold. That costs it no acknowledged write: what was
 * not answered was not acknowledged.
 */
import { MARKS_KEPT } from '../limits.ts';
import { ReplyScanner } from './reply-scan.ts';
import { RequestScanner } from './request-scan.ts';

type MarkKind =
  | 'blocking'
  | 'hello'
  | 'auth'
  | 'set-name'
  | 'reset'
  | 'subscribe'
  | 'monitor'
  | 'reply-off'
  | 'quit';

interface Mark {
  /** The request's number; requests are numbered from 0 by completion. */
  readonly at: number;
  readonly kind: MarkKind;
  readonly args: readonly string[];
}

export interface ExchangeListener {
  loggedIn(user: string): void;
  loginFailed(user: string): void;
  named(name: string): void;
}

const CONFIRMATIONS = new Set([
  'subscribe',
  'unsubscribe',
  'psubscribe',
  'punsubscribe',
  'ssubscribe',
  'sunsubscribe',
]);

export class Exchange {
  readonly #listener: ExchangeListener;
  readonly #requests = new RequestScanner((marked) => this.#requested(marked));
  readonly #replies = new ReplyScanner({
    reply: (isError) => this.#replied(isError),
    push: (kind) => this.#pushed(kind),
  });
  #sent = 0;
  #answered = 0;
  #protocol: 2 | 3 = 2;
  #streaming = false;
  #quitting = false;
  #marks: Mark[] = [];

  constructor(listener: ExchangeListener) {
    this.#listener = listener;
  }

  /** Bytes that go to the engine. */
  request(chunk: Uint8Array): void {
    this.#requests.feed(chunk);
    if (this.#requests.broken) this.#streaming = true;
  }

  /** Bytes that go to the client. */
  reply(chunk: Uint8Array): void {
    this.#replies.feed(chunk);
    if (this.#replies.broken) this.#streaming = true;
  }

  /** Complete requests without a complete reply, those that wait behind a blocking one left out. */
  get inFlight(): number {
    if (this.#streaming) return 0;
    const blocking = this.#marks.find((mark) => mark.kind === 'blocking');
    return (blocking === undefined ? this.#sent : blocking.at) - this.#answered;
  }

  /** Requests whose outcome the client does not know; null when that cannot be told. */
  get unanswered(): number | null {
    return this.#streaming ? null : this.#sent - this.#answered;
  }

  get waiting(): boolean {
    return this.#streaming ? false : this.#sent > this.#answered;
  }

  get streaming(): boolean {
    return this.#streaming;
  }

  /** The client said QUIT: a close that follows is no fault. */
  get quitting(): boolean {
    return this.#quitting;
  }

  /** A word of our own may be written to the client here. */
  get atReplyBoundary(): boolean {
    return this.#replies.atBoundary;
  }

  #requested(marked: readonly string[] | null): void {
    if (marked !== null) this.#mark(marked);
    this.#sent += 1;
    this.#silenced();
  }

  #mark(words: readonly string[]): void {
    const kind = kindOf(words);
    if (kind === null) return;
    if (kind === 'quit') this.#quitting = true;
    if (this.#marks.length >= MARKS_KEPT) {
      this.#streaming = true;
      this.#marks = [];
    }
    if (this.#streaming && kind !== 'hello' && kind !== 'auth') return;
    this.#marks.push({ at: this.#sent, kind, args: words.slice(1) });
  }

  #replied(isError: boolean): void {
    if (this.#streaming || this.#answered >= this.#sent) return;
    const mark = this.#marks[0];
    if (mark !== undefined && mark.at === this.#answered) {
      this.#marks.shift();
      this.#settle(mark, isError);
    }
    this.#answered += 1;
    this.#silenced();
  }

  #pushed(kind: string): void {
    const mark = this.#marks[0];
    if (mark?.kind !== 'subscribe' || mark.at !== this.#answered || this.#streaming) return;
    if (!CONFIRMATIONS.has(kind)) return;
    this.#marks.shift();
    this.#answered += 1;
    this.#silenced();
  }

  #settle(mark: Mark, isError: boolean): void {
    if (mark.kind === 'auth' || mark.kind === 'hello') this.#login(mark, isError);
    if (isError) return;
    if (mark.kind === 'hello') {
      if (mark.args[0] === '3') this.#protocol = 3;
      else if (mark.args[0] === '2') this.#protocol = 2;
    } else if (mark.kind === 'set-name') this.#listener.named(mark.args[1] ?? '');
    else if (mark.kind === 'reset') {
      this.#protocol = 2;
      this.#listener.loggedIn('');
    } else if (mark.kind === 'monitor') this.#streaming = true;
    else if (mark.kind === 'subscribe' && this.#protocol === 2) this.#streaming = true;
  }

  #login(mark: Mark, isError: boolean): void {
    const { args } = mark;
    let user: string | undefined;
    if (mark.kind === 'auth') user = args.length > 1 ? args[0] : 'default';
    else {
      const words = args.map((word) => word.toUpperCase());
      const auth = words.indexOf('AUTH');
      if (auth !== -1) user = args[auth + 1];
      const name = words.indexOf('SETNAME');
      if (name !== -1 && !isError) this.#listener.named(args[name + 1] ?? '');
    }
    if (user === undefined) return;
    if (isError) this.#listener.loginFailed(user);
    else this.#listener.loggedIn(user);
  }

  /** CLIENT REPLY OFF or SKIP has been reached: what follows is not answered one for one. */
  #silenced(): void {
    const mark = this.#marks[0];
    if (mark?.kind === 'reply-off' && mark.at === this.#answered) this.#streaming = true;
  }
}

function kindOf(words: readonly string[]): MarkKind | null {
  const name = words[0] ?? '';
  switch (name) {
    case 'HELLO':
      return 'hello';
    case 'AUTH':
      return 'auth';
    case 'RESET':
      return 'reset';
    case 'QUIT':
      return 'quit';
    case 'MONITOR':
      return 'monitor';
    case 'CLIENT': {
      const what = words[1]?.toUpperCase();
      if (what === 'SETNAME') return 'set-name';
      const how = words[2]?.toUpperCase();
      return what === 'REPLY' && (how === 'OFF' || how === 'SKIP') ? 'reply-off' : null;
    }
    case 'XREAD':
    case 'XREADGROUP':
      return words.some((word) => word.toUpperCase() === 'BLOCK') ? 'blocking' : null;
    default:
      return name.endsWith('SUBSCRIBE') ? 'subscribe' : 'blocking';
  }
}
