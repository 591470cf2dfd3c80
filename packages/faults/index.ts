/** Faults on processes, disks, clocks and connections: each with a duration, each undone at its end. */
export { FaultError } from './errors.ts';
export { clockEnvironment, type Fault, Faults, NO_FAKE_TIME } from './faults.ts';
export { MAX_FAULT_MS, MAX_FILL_BYTES } from './limits.ts';
export { type Direction, FaultyNetwork } from './network.ts';
export {
  exitOf,
  inspectProcess,
  type ProcessRef,
  refOf,
  requireRef,
  run,
  signal,
  until,
} from './processes.ts';
export { fakeTimeLibrary, faultTool } from './tools.ts';
export { cutPort, resetPort } from './wire.ts';
