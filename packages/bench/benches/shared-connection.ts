/**
 * One connection that several callers of an application share, as most client libraries do it: the
 * requests go out in order, the replies come back in order, whoever asked.
 */
import type { Socket } from 'node:net';
import { encode, greeting, openSocket, type Target } from '../load/asker.ts';
import { ReplyScanner, TYPE } from '../load/reply-scanner.ts';

interface Waiting {
  resolve(bytes: number): void;
  reject(error: Error): void;
}

export class SharedConnection {
  private readonly socket: Socket;
  private readonly waiting: Waiting[] = [];
  /** Bytes of the reply that is arriving. */
  private arrived = 0;

  private constructor(socket: Socket) {
    this.socket = socket;
    let from = 0;
    const scanner = new ReplyScanner((end) => {
      const bytes = this.arrived + end - from;
      this.arrived = 0;
      from = end;
      const caller = this.waiting.shift();
      if (scanner.type === TYPE.error) caller?.reject(new Error(scanner.headText()));
      else caller?.resolve(bytes);
    });
    socket.on('data', (data: Buffer) => {
      from = 0;
      scanner.feed(data);
      this.arrived += data.length - from;
    });
    const fail = (error: Error): void => {
      for (const caller of this.waiting.splice(0)) caller.reject(error);
    };
    socket.on('error', fail);
    socket.on('close', () => fail(new Error('the shared connection was closed')));
  }

  static async open(target: Target): Promise<SharedConnection> {
    const connection = new SharedConnection(openSocket(target));
    await Promise.all(greeting(target, 2).map((args) => connection.ask(encode(args))));
    return connection;
  }

  /** Resolves with the size of the reply; nothing is kept of it. */
  ask(request: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.socket.write(request);
    });
  }

  close(): void {
    this.socket.destroy();
  }
}
