/** The public face of the client kit. */

export type { ClientLike } from './adapters/raw.ts';
export {
  type Chunked,
  type ChunkedOptions,
  type ChunkedValue,
  chunked,
} from './chunked/chunked.ts';
export { within } from './deadlines/operation.ts';
export {
  CircuitOpenError,
  DeadlineError,
  type FrontCommand,
  KitError,
  type KitErrorCode,
  type Lateness,
  UnknownOutcomeError,
} from './errors.ts';
export { GuardError, type GuardOptions } from './guard/guard.ts';
export type { GuardFinding, GuardLimits, GuardRule } from './guard/rules.ts';
export { type Guarded, guarded } from './guard/types.ts';
export { type Address, type Advice, adviceFor, parseAddress } from './identity/address.ts';
export type { Login } from './identity/credentials.ts';
export {
  overlappingKeys,
  type Token,
  TokenKeeper,
  type TokenOptions,
} from './identity/tokens.ts';
export type { Calling } from './lanes/call.ts';
export { calling, type LaneView, lanes, lanesOf, largestKeys, report } from './lanes/lanes.ts';
export type { LanesOptions } from './lanes/options.ts';
export { type BatchOptions, BatchOutcome, type BatchResult, batch } from './pipelining/batch.ts';
export { fullJitter, reconnectDelay } from './retries/backoff.ts';
export { RetryBudget } from './retries/budget.ts';
export type { RetryOptions } from './retries/policy.ts';
export { type Diagnosis, diagnose } from './settings/diagnose.ts';
export { recommended } from './settings/recommended.ts';
export type {
  ClusterPolicy,
  Library,
  Recommended,
  RecommendedInput,
  Service,
} from './settings/shapes.ts';
export type { CommandEvent, LaneEvent } from './telemetry/channels.ts';
export { HostMeter, type HostUse } from './telemetry/host.ts';
export { type MeterLike, recordMetrics } from './telemetry/metrics.ts';
export { type HardenOptions, harden, observe } from './telemetry/observe.ts';
export type { LargeKey } from './telemetry/recorder.ts';
