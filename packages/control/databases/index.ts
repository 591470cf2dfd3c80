export { type Clock, systemClock } from './clock.ts';
export { Databases, type ManagerDeps } from './manager.ts';
export type { Serving } from './serving.ts';
export type { StopReport } from './stop.ts';
