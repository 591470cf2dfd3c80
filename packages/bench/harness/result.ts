/**
 * What a benchmark answers. `npm run -s bench -- <name> --json` prints one `BenchReport` and
 * nothing else on standard output.
 */

/** One metric as measured, before the goals are looked at. `samples.ours` and each rival's, by round. */
export interface Measured {
  readonly metric: string;
  readonly unit: string;
  readonly samples: Readonly<Record<string, readonly number[]>>;
  /** Why this figure cannot be trusted or could not be taken; such a metric is never met. */
  readonly void?: string;
  readonly note?: string;
}

export interface MetricResult {
  readonly metric: string;
  readonly unit: string;
  /** Median of samples.ours; null when it could not be measured. */
  readonly ours: number | null;
  /** Median of each rival. */
  readonly peers: Readonly<Record<string, number>>;
  readonly samples: Readonly<Record<string, readonly number[]>>;
  /** In words, e.g. '>= 1.25x haproxy, >= 0.95x direct' or '<= 2'; null: shown, not judged. */
  readonly goal: string | null;
  readonly met: boolean | null;
  readonly void?: string;
  readonly note?: string;
}

export interface BenchReport {
  readonly name: string;
  /** ISO 8601 */
  readonly at: string;
  readonly quick: boolean;
  readonly host: { readonly cores: number; readonly node: string; readonly engine: string };
  readonly results: readonly MetricResult[];
  /** Why it broke off; the results are of what was measured before. Absent: it came to its end. */
  readonly brokenOff?: string;
}

/** A curve that the report draws as an SVG beside the table. */
export interface Chart {
  readonly file: string;
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly logY?: boolean;
  readonly series: readonly {
    readonly name: string;
    readonly points: readonly (readonly [x: number, y: number])[];
  }[];
}

export interface BenchContext {
  readonly quick: boolean;
  /** Progress for people, on standard error. */
  say(line: string): void;
  /** Undone in reverse order at the end, also after a failure or a signal. */
  defer(undo: () => Promise<void> | void): void;
  chart(chart: Chart): void;
  /** A line for `host.engine`. */
  engine(name: string): void;
  /** How to tell what is measured until now; asked when the rest fails. */
  soFar(measured: () => readonly Measured[]): void;
}

export interface Bench {
  readonly name: string;
  readonly about: string;
  run(context: BenchContext): Promise<Measured[]>;
}
