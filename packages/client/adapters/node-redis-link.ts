/**
 * A wire on one node-redis connection, and the kit's own queue on it.
 *
 * The library keeps its socket and its queues private, but not the two doors between them: what goes to the socket is
 * pulled out of the generator `queue.commandsToWrite()`, and all bytes from it pass `queue.decoder.write`, which hands
 * each decoded reply to `decoder.onReply`. So the kit stands in both doors, on the instance. Its calls never enter the
 * library's queues: they are encoded when the generator is pulled (a whole tick's in one string) and answered from the
 * decoder, each as it is parsed. That saves a promise, an abort signal and four wrappers a command, and it is what
 * makes a deadline on a written command, a retry on another connection and a report of what stands in front possible.
 * Commands of the library itself (handshake, PING, WATCH) use its queues as ever; the order between both is kept by a
 * mark in the kit's queue. What is still in the library's queue when a connection ends goes to the next one, whatever
 * was asked for meanwhile: no data goes there.
 */
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { BATCH_BYTES_MAX } from '../limits.ts';
import { copyOf, readInto } from '../wire/intake.ts';
import { Pace } from '../wire/pace.ts';
import { type Sent, Wire } from '../wire/wire.ts';
import { anonymous } from './node-redis-encode.ts';
import { Hold } from './node-redis-hold.ts';
import {
  answeredOf,
  encodedOf,
  type NodeLinkEvents,
  type Outgoing,
  type OutgoingBatch,
} from './node-redis-outgoing.ts';
import type { NodeClient, NodeQueue } from './node-redis-shape.ts';
import { OwnSocket } from './node-redis-socket.ts';
import { Bound } from './node-redis-watched.ts';

/** Of what goes out, as the library's encoder makes it. */
type Piece = readonly (string | Buffer)[];

/** Here the library's own queue has its turn. */
const libraryTurn = Symbol('library');
const noMapping = {};

export class NodeLink {
  readonly wire: Wire<Sent>;
  /** A command of the library that is about to be yielded; see `Watched`. */
  leaving: Sent | undefined;
  /** The library's connect() is not over. */
  connecting = false;
  readonly #client: NodeClient;
  readonly #queue: NodeQueue;
  readonly #events: NodeLinkEvents;
  #outbox: (Outgoing | OutgoingBatch | typeof libraryTurn)[] = [];
  #next = 0;
  /** Written, by their order: the kit's call, or undefined for one of the library's. */
  #waiting: (Outgoing | undefined)[] = [];
  #answered = 0;
  #ours = 0;
  /** Commands of the library whose turn it is, and of those in its queue the ones that have no mark here. */
  #owed = 0;
  #unmarked = 0;
  #scheduled = false;
  #paused = false;
  /** What goes through the library's queue and must not go to its next connection. */
  readonly bound = new Bound(this);
  readonly hold: Hold;
  readonly #socket = new OwnSocket();
  /** The one that it writes to, where it is known. */
  #own: Socket | undefined;
  /** The last turn wrote one call. */
  #alone = false;
  #libraryWaits: () => boolean = () => true;
  /** What comes is the socket's, and valid now only. */
  #borrowed = false;

  constructor(client: NodeClient, events: NodeLinkEvents) {
    this.#client = client;
    this.#events = events;
    const socket = client.options?.socket;
    this.wire = new Wire<Sent>(
      socket?.path ?? `${socket?.host ?? 'localhost'}:${socket?.port ?? 6379}`,
      {
        refused: (sent) => events.refused?.(sent),
        answered: (sent, now) => events.answered(sent, now),
        large: (sent) => events.large(sent, this.wire),
      },
      events.largeBytes,
    );
    this.#queue = client._getQueue();
    this.hold = new Hold(client, events.reconnectIn);
    this.#standInWriting();
    this.#standInReading();
    this.#standInEnding();
    client.on('reconnecting', () => this.#socket.expect());
  }

  /** By the library's own method, which makes a socket at once. */
  connect(): Promise<unknown> {
    this.#socket.expect();
    const { connect } = Object.getPrototypeOf(this.#client) as NodeClient;
    if (this.connecting) return connect.call(this.#client);
    this.connecting = true;
    return connect.call(this.#client).finally(() => {
      this.connecting = false;
    });
  }

  #adopt(socket: Socket): void {
    const pace = new Pace(socket);
    this.#own = socket;
    readInto(
      socket,
      (bytes) => {
        this.#borrowed = true;
        try {
          socket.emit('data', bytes);
        } finally {
          this.#borrowed = false;
        }
        pace.came(bytes.length);
      },
      () => {},
    );
  }

  /** No call of the kit is in its queue or unanswered here. */
  get #idle(): boolean {
    if (this.#ours > 0) return false;
    for (let i = this.#next; i < this.#outbox.length; i += 1) {
      if (this.#outbox[i] !== libraryTurn) return false;
    }
    return true;
  }

  enqueue(call: Outgoing | OutgoingBatch): void {
    if (this.#next > 0 && this.#next === this.#outbox.length) this.#emptied();
    if (this.#alone && this.#outbox.length === 0 && this.#writesNow(call)) return;
    this.#outbox.push(call);
    this.#schedule();
  }

  /**
   * Where calls come one by one, this one goes to the socket at once, past the library's next turn (a timer, a
   * generator, and cork() around one write): nothing is in flight that it could overtake, and nothing will join it.
   */
  #writesNow(call: Outgoing | OutgoingBatch): boolean {
    const socket = this.#own;
    if (socket === undefined || this.#waiting.length > 0 || this.#scheduled || this.#paused)
      return false;
    if (!socket.writable || socket.writableNeedDrain || this.#libraryWaits()) return false;
    const encoded = encodedOf(call);
    if (typeof encoded !== 'string') return false;
    this.#written(call, performance.now());
    socket.write(encoded);
    return true;
  }

  #schedule(): void {
    if (this.#scheduled || this.#paused) return;
    this.#scheduled = true;
    // The one public method that makes the library pull its generator in the next turn.
    const resume = Object.getPrototypeOf(this.#client)._unpause as () => void;
    resume.call(this.#client);
  }

  #standInWriting(): void {
    const queue = this.#queue;
    const { commandsToWrite, isWaitingToWrite, addCommand, isEmpty } = queue;
    this.#libraryWaits = () => isWaitingToWrite.call(queue);
    // What is asked for is written at once; with a socket that takes nothing the library does not ask.
    const toWrite: Iterable<Piece> = {
      [Symbol.iterator]: () => {
        this.#scheduled = false;
        const before = this.#ours;
        const text = this.#owed > 0 ? '' : this.#joined(performance.now());
        this.#alone = this.#ours === before + 1;
        if (this.#next < this.#outbox.length || isWaitingToWrite.call(queue)) {
          return this.#rest(text, commandsToWrite.call(queue)[Symbol.iterator]());
        }
        this.#emptied();
        return (text === '' ? [] : [[text]])[Symbol.iterator]();
      },
    };
    queue.commandsToWrite = () => toWrite;
    queue.isWaitingToWrite = () => this.#next < this.#outbox.length || isWaitingToWrite.call(queue);
    queue.isEmpty = () => this.#idle && isEmpty.call(queue);
    queue.addCommand = (args, options) => {
      // What comes after it in the kit's queue must not overtake it.
      if (options?.asap !== true) this.#outbox.push(libraryTurn);
      else this.#unmarked += 1;
      return addCommand.call(queue, args, this.bound.options(options));
    };
    own(this.#client, '_pause', () => {
      this.#paused = true;
      Object.getPrototypeOf(this.#client)._pause.call(this.#client);
    });
    own(this.#client, '_unpause', () => {
      this.#paused = false;
      this.#scheduled = true;
      Object.getPrototypeOf(this.#client)._unpause.call(this.#client);
    });
  }

  /** Of what the library has to write that whose turn it is, or all; counted on its way. */
  *#library(source: Iterator<Piece>, all: boolean): Generator<Piece> {
    while (all || this.#owed > 0) {
      this.leaving = undefined;
      const next = source.next();
      if (next.done === true) {
        this.#owed = 0;
        this.#unmarked = 0;
        return;
      }
      if (this.#owed > 0) this.#owed -= 1;
      this.#waiting.push(undefined);
      this.wire.sent(this.leaving ?? anonymous(next.value), performance.now());
      yield next.value;
    }
  }

  /**
   * The calls at the head of the outbox as one piece, up to the bound of a piece and to what is no text:
   * bytes, and a turn of the library.
   */
  #joined(now: number): string {
    let text = '';
    while (this.#next < this.#outbox.length && text.length < BATCH_BYTES_MAX) {
      const call = this.#outbox[this.#next] as Outgoing | OutgoingBatch | typeof libraryTurn;
      if (call === libraryTurn) break;
      // Given up before it was written: nobody waits for it any more.
      if (call.settled) {
        this.#next += 1;
        this.#events.lost(call, false, undefined);
        continue;
      }
      const encoded = encodedOf(call);
      if (typeof encoded !== 'string') break;
      this.#next += 1;
      this.#written(call, now);
      text += encoded;
    }
    return text;
  }

  /** All that is to be written, in order. The library leaves early when the socket's buffer is full. */
  *#rest(first: string, source: Iterator<Piece>): Generator<Piece> {
    if (first !== '') yield [first];
    yield* this.#library(source, false);
    while (this.#next < this.#outbox.length) {
      const call = this.#outbox[this.#next] as Outgoing | OutgoingBatch | typeof libraryTurn;
      if (call === libraryTurn) {
        this.#takeTurns();
        yield* this.#library(source, false);
        continue;
      }
      const text = this.#joined(performance.now());
      if (text !== '') {
        yield [text];
        continue;
      }
      if (this.#next === this.#outbox.length || this.#outbox[this.#next] !== call) continue;
      this.#next += 1;
      const parts = encodedOf(call);
      if (parts instanceof Error) {
        call.errorReply(parts);
        this.#events.lost(call, false, parts);
      } else {
        this.#written(call, performance.now());
        yield typeof parts === 'string' ? [parts] : parts;
      }
    }
    this.#emptied();
    yield* this.#library(source, true);
  }

  /** The library's next ones, up to the kit's next call: more would overtake it. */
  #takeTurns(): void {
    this.#owed += this.#unmarked;
    this.#unmarked = 0;
    while (this.#outbox[this.#next] === libraryTurn) {
      this.#next += 1;
      this.#owed += 1;
    }
  }

  #emptied(): void {
    this.#outbox.length = 0;
    this.#next = 0;
  }

  #written(call: Outgoing | OutgoingBatch, now: number): void {
    if (call.parts !== undefined) {
      for (const part of call.parts) this.#written(part, now);
      return;
    }
    this.#waiting.push(call);
    this.#ours += 1;
    this.wire.sent(call, now);
  }

  #standInReading(): void {
    const queue = this.#queue;
    const { decoder } = queue;
    const decode = decoder.write;
    // Of what it is given the decoder keeps parts.
    const forward = (piece: Buffer, lasting?: boolean): void =>
      decode.call(decoder, this.#borrowed && lasting !== true ? copyOf(piece) : piece);
    decoder.write = (chunk) => {
      const socket = this.#socket.found(chunk);
      if (socket !== undefined) this.#adopt(socket);
      stand();
      if (this.#ours === 0) this.wire.listen(queue.isPubSubActive);
      this.wire.received(chunk, forward);
    };
    const library = { ...decoder };
    const onReply = (reply: unknown): void => {
      const call = this.#shift();
      if (call !== undefined) return call.reply(reply);
      library.onReply(reply);
      stand();
    };
    const onErrorReply = (error: unknown): void => {
      const call = this.#shift();
      if (call !== undefined) return call.errorReply(error as Error);
      library.onErrorReply(error);
      stand();
    };
    const getTypeMapping = (): unknown => {
      const call = this.#waiting[this.#answered];
      return call === undefined ? library.getTypeMapping() : (call.typeMapping ?? noMapping);
    };
    /**
     * The library replaces its own three now and then, between chunks or in its answer to a reply. Properties
     * that notice would make the decoder's slow ones, all of them, and with it each reply.
     */
    const stand = (): void => {
      if (decoder.onReply !== onReply) {
        library.onReply = decoder.onReply;
        decoder.onReply = onReply;
      }
      if (decoder.onErrorReply !== onErrorReply) {
        library.onErrorReply = decoder.onErrorReply;
        decoder.onErrorReply = onErrorReply;
      }
      if (decoder.getTypeMapping !== getTypeMapping) {
        library.getTypeMapping = decoder.getTypeMapping;
        decoder.getTypeMapping = getTypeMapping;
      }
    };
    stand();
  }

  #shift(): Outgoing | undefined {
    const call = this.#waiting[this.#answered];
    this.#waiting[this.#answered] = undefined;
    this.#answered += 1;
    if (this.#answered === this.#waiting.length) {
      this.#waiting.length = 0;
      this.#answered = 0;
    } else if (this.#answered > 4_096 && this.#answered * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#answered);
      this.#answered = 0;
    }
    if (call !== undefined) this.#ours -= 1;
    return call;
  }

  #standInEnding(): void {
    const queue = this.#queue;
    const { flushWaitingForReply, flushAll } = queue;
    const ended = (cause: unknown, keeps: boolean, dropped: number): void => {
      const written = this.#waiting.slice(this.#answered);
      const queued = this.#outbox.slice(this.#next);
      const marks = queued.filter((call) => call === libraryTurn).length;
      this.#unmarked = keeps ? this.#unmarked + this.#owed + marks - dropped : 0;
      this.#owed = 0;
      this.#waiting = [];
      this.#answered = 0;
      this.#ours = 0;
      this.#emptied();
      this.#scheduled = false;
      this.#own = undefined;
      const answered = answeredOf(this.wire.reset(), written);
      this.#events.down(cause);
      for (const call of answered) this.#events.answered(call, performance.now());
      for (const call of written) if (call !== undefined) this.#events.lost(call, true, cause);
      for (const call of queued) if (call !== libraryTurn) this.#events.lost(call, false, cause);
    };
    queue.flushWaitingForReply = (error) => {
      const wanted = this.wire.pending > 0 || this.wire.listening || queue.isWaitingToWrite();
      const dropped = this.bound.drop(error);
      flushWaitingForReply.call(queue, error);
      ended(error, true, dropped);
      this.hold.begin(wanted);
    };
    queue.flushAll = (error) => {
      flushAll.call(queue, error);
      ended(error, false, 0);
    };
  }
}

const own = (target: object, name: string, value: unknown): object =>
  Object.defineProperty(target, name, { value, configurable: true, writable: true });
