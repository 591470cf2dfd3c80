/**
 * Entry of a worker process. Everything it needs comes over the channel from the supervisor. When
 * the supervisor dies this worker goes on with the sockets it has: the data path must not end with
 * it. The control process finds it by its socket, has it start the next supervisor, which inherits
 * the sockets, and drains it once that one's workers serve.
 */
import { rmSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { ControlServer } from './control-server.ts';
import { EXIT_GRACE_MS, PEER_ANSWER_MS } from './limits.ts';
import { neighbourSocket } from './neighbours.ts';
import { messageOf, say } from './say.ts';
import { Worker } from './worker/worker.ts';
import type { FromWorker, ToWorker } from './worker-ipc.ts';

process.umask(0o177);
let worker: Worker | null = null;
let socketPath: string | null = null;
let leaving: Promise<void> | null = null;

process.on('message', (raw, handle) => {
  const message = raw as ToWorker;
  if (message.type === 'start') void start(message);
  else if (worker !== null) receive(worker, message, handle);
});
let ready = false;
process.on('disconnect', () => {
  if (ready) {
    say('worker', 'the supervisor is gone; serving on');
    worker?.orphaned();
  } else if (leaving === null) {
    say('worker', 'the supervisor is gone before this worker serves; leaving');
    void leave(EXIT_GRACE_MS);
  }
});
process.on('SIGTERM', () => void leave(EXIT_GRACE_MS));
process.on('SIGINT', () => {}); // orderly stops come from the supervisor
process.on('SIGHUP', () => {});

async function start(message: Extract<ToWorker, { type: 'start' }>): Promise<void> {
  const control = new ControlServer(message.socket, message.build, leave);
  const made = new Worker({
    slot: message.slot,
    neighbourSocket: neighbourSocket(message.socket),
    workers: message.workers,
    ticketSecret: message.ticketSecret,
    emit: (event) => control.emit(event),
    tell,
  });
  worker = made;
  socketPath = message.socket;
  try {
    await Promise.all([control.listen(made), made.neighbours.listen()]);
    if (message.snapshot !== null) await made.apply(message.snapshot);
  } catch (error) {
    say('worker', `cannot start: ${messageOf(error)}`);
    process.exit(1);
  }
  ready = true;
  tell({ type: 'ready', epoch: made.epoch, answers: true });
  flushCompileCache(); // for the successor
}

function receive(to: Worker, message: ToWorker, handle: unknown): void {
  switch (message.type) {
    case 'listener':
      to.listeners.arrived(message.address, handle ?? null, message.failure);
      break;
    case 'keep':
      to.listeners.kept(message.address, message.slot, handle);
      break;
    case 'unlisten':
      to.listeners.withdrawn(message.address);
      tell({ type: 'unlistened', address: message.address });
      break;
    case 'workers':
      to.workers = message.workers;
      to.listeners.slots(message.workers);
      break;
    case 'neighbours':
      to.neighbours.set(message.others);
      break;
    case 'numbers':
      to.numbers.give(message.first);
      break;
    case 'ticket-secret':
      to.rotate(message.ticketSecret);
      break;
    case 'permits':
      to.purse(message.database)?.granted(message.granted);
      break;
    case 'recall':
      recall(to, message.database);
      break;
    case 'drain':
      void leave(message.deadlineMs);
      break;
    case 'there':
      tell({ type: 'here' });
      break;
    case 'snapshot':
      // A stale one lost against what the control process pushed itself.
      to.apply(message.snapshot).catch((error) => say('worker', messageOf(error)));
      break;
    case 'start':
      break;
  }
}

function recall(from: Worker, database: string): void {
  const purse = from.purse(database);
  if (purse !== undefined) purse.recall();
  else tell({ type: 'return', database, count: 0, answer: true });
}

/** Drains, says what was counted, exits. */
function leave(deadlineMs: number): Promise<void> {
  leaving ??= leaveOnce(deadlineMs);
  return leaving;
}

async function leaveOnce(deadlineMs: number): Promise<void> {
  if (worker !== null) await worker.drain(deadlineMs);
  await worker?.neighbours.introduced(PEER_ANSWER_MS);
  worker?.neighbours.close();
  if (socketPath !== null) rmSync(socketPath, { force: true });
  // The control process may have asked for this: its answer goes out in this turn.
  setImmediate(() => {
    if (worker === null || !process.connected || process.send === undefined) process.exit(0);
    const last: FromWorker = { type: 'retired', counters: worker.counters() };
    process.send(last, undefined, undefined, () => process.exit(0));
  });
}

function tell(message: FromWorker): boolean {
  if (!process.connected || process.send === undefined) return false;
  // A supervisor that dies before it reads this is followed by one that asks anew.
  process.send(message, undefined, undefined, () => {});
  return true;
}
