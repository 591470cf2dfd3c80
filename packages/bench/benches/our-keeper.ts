/**
 * Ends a service whose benchmark, soak or test died before it could: kill -9, out of memory, a deadline
 * of CI. Its control process is no child that dies with its parent (that is what it is for), so without
 * this a whole Cinnabar would run on for ever. Standard input is the owner's life: it closes when the
 * owner ends in any way. Each line on it is the control process that runs now.
 */
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { killAll } from '../../cli/ending.ts';
import { type ProcessRef, signal } from '../processes.ts';

const [home = '', runDir = ''] = process.argv.slice(2);
// Ctrl-C and the like are for the owner, who ends in order.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => undefined);

let control: ProcessRef | null = null;
for await (const line of createInterface({ input: process.stdin })) {
  control = JSON.parse(line) as ProcessRef;
}
// First, or it would start anew what is killed.
if (control !== null) signal(control, 'SIGKILL');
await killAll({ home, runDir });
for (const folder of [home, runDir]) await rm(folder, { recursive: true, force: true });
process.exit(0);
