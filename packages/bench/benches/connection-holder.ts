/** A child that opens connections and holds them, or opens and closes them as fast as it can. */
import type { Socket } from 'node:net';
import { Asker, encode, greeting, openSocket, type Target } from '../load/asker.ts';
import { ReplyScanner } from '../load/reply-scanner.ts';

export interface ToHolder {
  readonly target?: Target;
  readonly open?: number;
  readonly check?: boolean;
  readonly connectFor?: number;
  readonly concurrency?: number;
}

export interface FromHolder {
  /** Connections that are open and answered when they were opened. */
  readonly open: number;
  /** Connections made, used once and closed, a second. */
  readonly rate: number;
  readonly error?: string;
}

/** Opened at once; more would measure the accept queue. */
const AT_ONCE = 64;

const held = new Set<Socket>();

function hold(target: Target): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = openSocket(target);
    let expected = greeting(target, 2).length + 1;
    const scanner = new ReplyScanner(() => {
      expected -= 1;
      if (expected === 0) {
        held.add(socket);
        resolve();
      }
    });
    socket.on('data', (data: Buffer) => scanner.feed(data));
    socket.on('error', reject);
    socket.on('close', () => {
      held.delete(socket);
      reject(new Error('an idle connection was closed'));
    });
    socket.write(Buffer.concat([...greeting(target, 2), ['PING']].map(encode)));
  });
}

async function openMany(target: Target, count: number): Promise<void> {
  let left = count;
  const opener = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await hold(target);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, opener));
}

async function connectFor(target: Target, seconds: number, concurrency: number): Promise<number> {
  let made = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  const client = async (): Promise<void> => {
    while (performance.now() < end) {
      const asker = await Asker.open(target);
      await asker.ask('PING');
      asker.close();
      made += 1;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, client));
  return (made * 1000) / (performance.now() - start);
}

async function handle(message: ToHolder): Promise<FromHolder> {
  const { target } = message;
  let rate = 0;
  if (target !== undefined && message.open !== undefined)
    await openMany(target, message.open).catch((e) => {
      throw new Error(held.size + ' ' + e);
    });
  if (target !== undefined && message.connectFor !== undefined) {
    rate = await connectFor(target, message.connectFor, message.concurrency ?? 1);
  }
  return { open: held.size, rate };
}

process.on('message', (message: ToHolder) => {
  handle(message).then(
    (answer) => process.send?.(answer),
    (error: unknown) => process.send?.({ open: held.size, rate: 0, error: String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
