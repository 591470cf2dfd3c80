export { systemClock } from './clock.ts';
export { Databases } from './manager.ts';
export type { Serving } from './serving.ts';
