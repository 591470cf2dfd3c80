/** What the control process needs of the endpoint besides the contracts. */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

export { mergeCounters, mergeHistograms, withoutGauges } from './counters.ts';
export { FrameConnection } from './frame-connection.ts';
export { encodeFrame, FrameError, FrameReader, type Message } from './frames.ts';
export * from './supervisor-protocol.ts';

// Runs unbuilt (.ts) and compiled (.js): the neighbours have this file's extension.
const extension = extname(import.meta.url);
export const SUPERVISOR_PROGRAM = fileURLToPath(
  new URL(`./supervisor${extension}`, import.meta.url),
);
export const WORKER_PROGRAM = fileURLToPath(new URL(`./worker${extension}`, import.meta.url));
