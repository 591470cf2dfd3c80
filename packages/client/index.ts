/** The public face of the client kit. */

export {
  type Chunked,
  type ChunkedOptions,
  type ChunkedValue,
  chunked,
} from './chunked/chunked.ts';
export type { Calling } from './lanes/call.ts';
export { calling, type LaneView, lanes, lanesOf, report } from './lanes/lanes.ts';
export type { LanesOptions } from './lanes/options.ts';
export type { CommandEvent, LaneEvent } from './telemetry/channels.ts';
