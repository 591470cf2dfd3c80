/** What can be seen of a database while it works; what the API answers and the command line shows. */
import type { ClientView, GuardRule, LargeView } from '../../endpoint/control-protocol.ts';

export type { GuardRule, LargeView };

/** Endpoint: every command of every client. Engines: clients are direct, the shards themselves are asked. */
export type Source = 'endpoint' | 'engines';

export interface Quantiles {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
}

export interface CommandStats extends Quantiles {
  readonly command: string;
  readonly calls: number;
  readonly callsPerSecond: number;
  readonly failed: number;
  /** Null where the source does not know. */
  readonly requestBytes: number | null;
  readonly replyBytes: number | null;
  readonly largestReplyBytes: number | null;
}

/** An expensive command that was seen, or that has a rule. */
export interface ExpensiveStats {
  readonly command: string;
  readonly rule: GuardRule | null;
  readonly calls: number;
  readonly warned: number;
  readonly refused: number;
}

export interface StatsReport {
  readonly source: Source;
  /** What is not in it; null: it is complete. */
  readonly note: string | null;
  /** ms since 1970: the figures are of this time. */
  readonly from: number;
  readonly to: number;
  readonly connections: number;
  readonly opened: number;
  /** By named reason. */
  readonly closed: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** The busiest first. */
  readonly commands: readonly CommandStats[];
  readonly expensive: readonly ExpensiveStats[];
}

export interface LargeReport {
  readonly note: string | null;
  /** The largest first. */
  readonly value: readonly LargeView[];
}

export interface ClientRow extends Omit<ClientView, 'latency' | 'database'> {
  /** Null where the source does not know. */
  readonly latency: Quantiles | null;
}

export interface ClientsReport {
  readonly note: string | null;
  /** Those that were active last first; at most as many as were asked for. */
  readonly value: readonly ClientRow[];
}

export interface SlowEntry {
  readonly at: number;
  readonly us: number;
  readonly command: readonly string[];
  readonly shard: number;
  readonly role: 'primary' | 'replica' | 'unknown';
  /** '' where it came through the endpoint, whose connections carry many clients; 'engine': from another engine. */
  readonly client: string;
  readonly name: string;
}

export interface SlowReport {
  readonly note: string | null;
  /** Of Cinnabar itself, left out of `value`. */
  readonly own: number;
  /** The latest first. */
  readonly value: readonly SlowEntry[];
}

export interface Observer {
  /** Since counting began; or, with `seconds`, of that time from now on. */
  stats(databaseId: string, seconds: number | null): Promise<StatsReport>;
  large(databaseId: string, most: number): Promise<LargeReport>;
  clients(databaseId: string, most: number): Promise<ClientsReport>;
  /** False: there is no such client (any more). */
  kill(databaseId: string, client: string): Promise<boolean>;
  /** `all`: with what Cinnabar itself asked the engines, and they each other. */
  slowlog(databaseId: string, most: number, all: boolean): Promise<SlowReport>;
  /** Everything that is counted, of all databases, in Prometheus' text format. */
  metrics(): Promise<string>;
}
