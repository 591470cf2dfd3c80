/**
 * One connection to an engine's unix socket: commands in, replies out, strictly in order.
 *
 * The trap is the deadline. A call that is given up still has its reply on the way; a client that
 * forgets it takes the late reply for the answer to the next call, and from then on every answer is
 * the wrong one. Here a call that passed its deadline keeps its place in the queue as *overdue*,
 * and its reply, when it comes, is dropped. An engine that owes too many such replies is mute, and
 * the connection is closed with that reason.
 */
import { connect, type Socket } from 'node:net';
import {
  type Argument,
  encodeCommands,
  type Reply,
  ReplyParser,
  RespError,
} from '../resp/index.ts';
import { EngineError, reasonOf, systemCode } from './errors.ts';
import {
  MAX_LINK_REPLY_BYTES,
  MAX_OVERDUE_REPLIES,
  MAX_PENDING_CALLS,
  READ_BUFFER_BYTES,
} from './limits.ts';

interface Call {
  /** For messages: the command's name only, never its arguments. */
  readonly what: string;
  missing: number;
  readonly replies: Reply[];
  state: 'waiting' | 'overdue';
  /** Null: whoever asked looks after the time. */
  readonly timer: NodeJS.Timeout | null;
  readonly resolve: (replies: Reply[]) => void;
  readonly reject: (error: EngineError) => void;
}

const PONG = Buffer.from('+PONG\r\n');
/** One for all connections: what was read is copied or understood before the next read. */
const READ_BUFFER = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);

export class EngineConnection {
  readonly #socket: Socket;
  readonly #path: string;
  readonly #parser: ReplyParser;
  #calls: Call[] = [];
  #overdue = 0;
  #closed: string | null = null;
  #listeners: ((reason: string) => void)[] = [];

  private constructor(socket: Socket, path: string) {
    this.#socket = socket;
    this.#path = path;
    this.#parser = new ReplyParser(
      { onReply: (reply) => this.#take(reply) },
      { maxReplyBytes: MAX_LINK_REPLY_BYTES, maxBulkBytes: MAX_LINK_REPLY_BYTES },
    );
    socket.on('error', (error) => this.#end(`socket error: ${reasonOf(error)}`));
    socket.on('end', () => this.#end('the engine closed the connection'));
    socket.on('close', () => this.#end('the engine closed the connection'));
  }

  static open(path: string, deadlineMs: number): Promise<EngineConnection> {
    return new Promise((resolve, reject) => {
      let opened: EngineConnection | null = null;
      const callback = (bytes: number): boolean => {
        if (opened !== null) opened.#data(READ_BUFFER.subarray(0, bytes));
        return true;
      };
      const socket = connect({ path, onread: { buffer: READ_BUFFER, callback } });
      const timer = setTimeout(() => {
        socket.destroy();
        reject(unreachable(path, `no connection within ${deadlineMs} ms`));
      }, deadlineMs);
      socket.once('error', (error) => {
        clearTimeout(timer);
        reject(unreachable(path, systemCode(error) || reasonOf(error)));
      });
      socket.once('connect', () => {
        clearTimeout(timer);
        socket.removeAllListeners('error');
        opened = new EngineConnection(socket, path);
        resolve(opened);
      });
    });
  }

  get closed(): boolean {
    return this.#closed !== null;
  }

  onClose(listener: (reason: string) => void): void {
    if (this.#closed === null) this.#listeners.push(listener);
    else listener(this.#closed);
  }

  close(reason: string): void {
    this.#end(reason);
  }

  /** Sends the commands in one write; resolves with one reply each. Error replies are values. */
  send(commands: readonly (readonly Argument[])[], deadlineMs: number): Promise<Reply[]> {
    const what = String(commands[0]?.[0] ?? '');
    return new Promise((resolve, reject) => {
      if (this.#closed !== null) return reject(this.#gone(what, this.#closed));
      if (this.#calls.length >= MAX_PENDING_CALLS) {
        return reject(
          new EngineError('link-full', `${this.#calls.length} calls wait for the engine already`),
        );
      }
      const call: Call = {
        what,
        missing: commands.length,
        replies: [],
        state: 'waiting',
        timer: setTimeout(() => this.#late(call, deadlineMs), deadlineMs),
        resolve,
        reject,
      };
      this.#calls.push(call);
      this.#socket.write(encodeCommands(commands));
    });
  }

  /**
   * Sends one command that is encoded already, with no deadline: a late reply keeps its place as any
   * other. `answered` is not called when the connection closes.
   */
  sendBare(what: string, encoded: Buffer, answered: (reply: Reply) => void): void {
    if (this.#closed !== null || this.#calls.length >= MAX_PENDING_CALLS) return;
    this.#calls.push({
      what,
      missing: 1,
      replies: [],
      state: 'waiting',
      timer: null,
      resolve: ([reply]) => answered(reply ?? null),
      reject: () => undefined,
    });
    this.#socket.write(encoded);
  }

  #data(chunk: Buffer): void {
    if (this.#closed !== null) return;
    try {
      // Nearly all that is ever read here; a string of its own needs no copy.
      if (this.#parser.idle && chunk.equals(PONG)) return this.#take('PONG');
      this.#parser.push(Buffer.from(chunk));
    } catch (error) {
      this.#end(`unreadable reply: ${reasonOf(error)}`);
    }
  }

  #take(reply: Reply): void {
    const call = this.#calls[0];
    if (call === undefined) return this.#end('the engine sent a reply that nobody asked for');
    call.replies.push(reply);
    call.missing--;
    if (call.missing > 0) return;
    this.#calls.shift();
    if (call.timer !== null) clearTimeout(call.timer);
    if (call.state === 'waiting') call.resolve(call.replies);
    else this.#overdue--;
  }

  #late(call: Call, deadlineMs: number): void {
    call.state = 'overdue';
    this.#overdue++;
    call.reject(
      new EngineError(
        'engine-timeout',
        `the engine at ${this.#path} did not answer ${call.what} within ${deadlineMs} ms`,
      ),
    );
    if (this.#overdue > MAX_OVERDUE_REPLIES) {
      this.#end(`mute: ${this.#overdue} answers are overdue`);
    }
  }

  #end(reason: string): void {
    if (this.#closed !== null) return;
    this.#closed = reason;
    this.#socket.destroy();
    const calls = this.#calls;
    this.#calls = [];
    for (const call of calls) {
      if (call.timer !== null) clearTimeout(call.timer);
      if (call.state === 'waiting') call.reject(this.#gone(call.what, reason));
    }
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener(reason);
  }

  #gone(what: string, reason: string): EngineError {
    return new EngineError('engine-closed', `no answer to ${what} from ${this.#path}: ${reason}`);
  }
}

function unreachable(path: string, why: string): EngineError {
  return new EngineError(
    'engine-unreachable',
    `cannot reach the engine at ${path}: ${why}`,
    'It may still be starting, or it has ended: its log is engine.log in its data folder.',
  );
}

/** The error for a reply that refuses a command. The engine's text names commands and users, never passwords. */
export function refusal(what: string, reply: RespError): EngineError {
  const code = REFUSALS[reply.code] ?? 'engine-refused';
  return new EngineError(code, `the engine refused ${what}: ${reply.message}`);
}

const REFUSALS: Readonly<Record<string, string>> = {
  BUSY: 'engine-busy',
  LOADING: 'engine-loading',
  NOAUTH: 'engine-login',
  WRONGPASS: 'engine-login',
  NOPERM: 'engine-permission',
};

export function textOf(what: string, reply: Reply | undefined): string {
  if (reply instanceof RespError) throw refusal(what, reply);
  if (Buffer.isBuffer(reply)) return reply.toString();
  if (typeof reply === 'string') return reply;
  throw unexpected(what);
}

export function unexpected(what: string): EngineError {
  return new EngineError(
    'bad-reply',
    `the engine answered ${what} with something else than expected`,
  );
}
