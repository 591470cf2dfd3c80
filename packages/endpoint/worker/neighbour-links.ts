/** The transport of `neighbours.ts`: one socket to listen on, one connection to each other worker. */
import { rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { FrameConnection } from '../frame-connection.ts';
import type { Message } from '../frames.ts';
import {
  MOST_WORKERS,
  PEER_ANSWER_MS,
  PEER_BACKLOG_BYTES,
  PEER_QUESTIONS,
  PEER_RETRY_MS,
} from '../limits.ts';
import {
  type Answers,
  NEIGHBOUR_PROTOCOL,
  type NeighbourInfo,
  type NeighbourListener,
  type Neighbours,
} from '../neighbours.ts';
import { messageOf, say } from '../say.ts';

interface Link {
  readonly info: NeighbourInfo;
  connection: FrameConnection | null;
  /** It said hello in our protocol. */
  ready: boolean;
  /** Said already that it does not answer. */
  mute: boolean;
  retry: NodeJS.Timeout | null;
}

interface Question {
  readonly answers: unknown[];
  readonly waiting: Set<Link>;
  readonly timer: NodeJS.Timeout;
  mute: number;
  readonly resolve: (answers: Answers) => void;
}

export class NeighbourLinks implements Neighbours {
  readonly #path: string;
  readonly #listener: NeighbourListener;
  readonly #server: Server;
  readonly #incoming = new Set<FrameConnection>();
  readonly #links = new Map<number, Link>();
  readonly #questions = new Map<number, Question>();
  readonly #self: number;
  #nextId = 0;
  #closed = false;
  #whenReady: () => void = () => undefined;

  /** `self`: the number by which others know this worker, its pid. */
  constructor(path: string, self: number, listener: NeighbourListener) {
    this.#path = path;
    this.#self = self;
    this.#listener = listener;
    this.#server = createServer((socket) => {
      if (this.#incoming.size >= MOST_WORKERS * 2) {
        socket.destroy();
        return;
      }
      let from = 0;
      const connection: FrameConnection = new FrameConnection(
        socket,
        (message) => {
          if (message.type === 'hello') from = Number(message['pid']);
          else this.#received(connection, from, message);
        },
        () => this.#incoming.delete(connection),
      );
      this.#incoming.add(connection);
      connection.send(this.#hello());
    });
  }

  /** The caller has set umask 0177. */
  listen(): Promise<void> {
    rmSync(this.#path, { force: true });
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ path: this.#path }, () => {
        this.#server.removeListener('error', reject);
        this.#server.on('error', (error) => say('neighbours', messageOf(error)));
        resolve();
      });
    });
  }

  /** All other workers there are now. */
  set(others: readonly NeighbourInfo[]): void {
    if (this.#closed) return;
    const wanted = new Map(others.map((info) => [info.pid, info]));
    for (const [pid, link] of this.#links) if (!wanted.has(pid)) this.#drop(link);
    for (const info of others) {
      if (this.#links.has(info.pid) || this.#links.size >= MOST_WORKERS * 2) continue;
      const link: Link = { info, connection: null, ready: false, mute: false, retry: null };
      this.#links.set(info.pid, link);
      this.#connect(link);
    }
  }

  get count(): number {
    return this.#links.size;
  }

  /** Everybody we were told of has heard what we alone may know, or the time is over. */
  introduced(deadlineMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, deadlineMs);
      this.#whenReady = () => {
        if (![...this.#links.values()].every(({ ready }) => ready)) return;
        clearTimeout(timer);
        resolve();
      };
      this.#whenReady();
    });
  }

  ask(database: string, question: object): Promise<Answers> {
    if (this.#links.size === 0) return Promise.resolve({ answers: [], mute: 0 });
    const id = ++this.#nextId;
    return new Promise((resolve) => {
      const asked: Question = {
        answers: [],
        waiting: new Set(),
        mute: 0,
        resolve,
        timer: setTimeout(() => this.#overdue(id), PEER_ANSWER_MS),
      };
      this.#questions.set(id, asked);
      const crowded = this.#questions.size > PEER_QUESTIONS;
      for (const link of this.#links.values()) {
        if (!crowded && this.#send(link, { type: 'ask', id, database, question })) {
          asked.waiting.add(link);
        } else asked.mute++;
      }
      this.#settle(id);
    });
  }

  tell(database: string, notice: object, to?: number): boolean {
    let all = true;
    for (const link of this.#links.values()) {
      if (to !== undefined && link.info.pid !== to) continue;
      if (!this.#send(link, { type: 'tell', database, notice })) all = false;
    }
    return all;
  }

  close(): void {
    this.#closed = true;
    this.#server.close();
    for (const link of [...this.#links.values()]) this.#drop(link);
    for (const connection of this.#incoming) connection.close();
    rmSync(this.#path, { force: true });
  }

  #hello(): { type: string } {
    return { type: 'hello', protocol: NEIGHBOUR_PROTOCOL, pid: this.#self } as { type: string };
  }

  #send(link: Link, message: Message): boolean {
    const { connection } = link;
    if (!link.ready || connection === null || connection.backlog > PEER_BACKLOG_BYTES) return false;
    connection.send(message);
    return true;
  }

  #connect(link: Link): void {
    const socket = connect(link.info.socket);
    const connection: FrameConnection = new FrameConnection(
      socket,
      (message) => this.#answered(link, message),
      () => this.#lost(link),
    );
    link.connection = connection;
    socket.once('connect', () => connection.send(this.#hello()));
  }

  #lost(link: Link): void {
    link.connection = null;
    if (link.ready) this.#listener.left(link.info.pid);
    link.ready = false;
    for (const [id, question] of [...this.#questions]) {
      if (!question.waiting.delete(link)) continue;
      question.mute++;
      this.#settle(id);
    }
    // It is starting, or its connection broke; when it is gone the next list leaves it out.
    if (this.#closed || this.#links.get(link.info.pid) !== link) return;
    link.retry = setTimeout(() => this.#connect(link), PEER_RETRY_MS);
  }

  #drop(link: Link): void {
    this.#links.delete(link.info.pid);
    if (link.retry !== null) clearTimeout(link.retry);
    link.connection?.close();
    this.#whenReady();
  }

  /** From a neighbour, on its connection to us. */
  #received(connection: FrameConnection, from: number, message: Message): void {
    const database = String(message['database']);
    if (message.type === 'tell') {
      this.#listener.told(database, message['notice'] as object, from);
    } else if (message.type === 'ask') {
      void this.#reply(connection, database, message);
    }
  }

  /** Nothing goes out to a neighbour that does not read; it calls us mute. */
  async #reply(connection: FrameConnection, database: string, message: Message): Promise<void> {
    if (connection.backlog > PEER_BACKLOG_BYTES) return;
    const { id } = message;
    try {
      const answer = await this.#listener.asked(database, message['question'] as object);
      connection.send({ type: 'answer', id, answer } as { type: string });
    } catch (error) {
      say('neighbours', messageOf(error)); // longer than a frame, say: it calls us mute
    }
  }

  /** From a neighbour, on our connection to it. */
  #answered(link: Link, message: Message): void {
    if (message.type === 'hello') {
      if (message['protocol'] !== NEIGHBOUR_PROTOCOL) {
        this.#tellMute(link, `it speaks protocol ${String(message['protocol'])}`);
        return;
      }
      link.ready = true;
      const { pid } = link.info;
      const eldest = [...this.#links.keys()].every((other) => other === pid || other > this.#self);
      this.#listener.joined(pid, eldest);
      this.#whenReady();
      return;
    }
    const id = Number(message['id']);
    const question = this.#questions.get(id);
    if (question?.waiting.delete(link) !== true) return;
    link.mute = false;
    question.answers.push(message['answer']);
    this.#settle(id);
  }

  #overdue(id: number): void {
    const question = this.#questions.get(id);
    if (question === undefined) return;
    for (const link of question.waiting) {
      question.mute++;
      this.#tellMute(link, `no answer within ${PEER_ANSWER_MS} ms`);
    }
    question.waiting.clear();
    this.#settle(id);
  }

  /** Said once, until it answers again. */
  #tellMute(link: Link, detail: string): void {
    if (link.mute) return;
    link.mute = true;
    this.#listener.mute(link.info.pid, detail);
  }

  #settle(id: number): void {
    const question = this.#questions.get(id);
    if (question === undefined || question.waiting.size > 0) return;
    clearTimeout(question.timer);
    this.#questions.delete(id);
    question.resolve({ answers: question.answers, mute: question.mute });
  }
}
