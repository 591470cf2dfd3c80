/** What one run of changing the number of shards is measured by, whoever does it. */
export interface ScaleFigures {
  /** From the first request to the end of the last change. */
  readonly seconds: number;
  /** Keys that had to travel, a second. */
  readonly keysPerSecond: number;
  /** Commands that failed, and acknowledged writes that were not there afterwards. */
  readonly errors: number;
  /** The longest that any command waited, from when it should have been sent. */
  readonly longestPauseMs: number;
  /** 99th percentile of the latency during the changes against before them. */
  readonly p99Ratio: number;
}
