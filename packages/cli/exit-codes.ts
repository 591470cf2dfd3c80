/**
 * Exit codes, stable: scripts may rely on them. The table in docs/exit-codes.md is checked against
 * this one by a test.
 */
export const EXIT = {
  ok: 0,
  /** Something unexpected; the message says what. */
  failed: 1,
  /** The command line was wrong: unknown command, option or value. Nothing was done. */
  usage: 2,
  /** The cache, operation or other thing named does not exist. */
  notFound: 3,
  /** It conflicts with what is there or with an operation that is running. */
  conflict: 4,
  /** The request was understood and refused: a bad value, no capacity. */
  refused: 5,
  /** No Cinnabar runs on this data folder. */
  notRunning: 6,
  /** The wait was over before the operation was; it goes on. */
  timeout: 7,
  /** The operation ended as Failed or Canceled. */
  operationFailed: 8,
  /** `doctor` found at least one problem. */
  unhealthy: 9,
  /** The token or a file's permissions did not allow it. */
  denied: 10,
  /** This build does not do that yet. */
  unsupported: 11,
  /** The installation is not complete. */
  installation: 69,
  /** A start or stop is under way on this data folder: trying again soon helps. */
  underWay: 75,
  /** `up` could not start, and trying again would not help. */
  cannotStart: 78,
  /** Ended by Ctrl-C. */
  interrupted: 130,
} as const;

export type ExitName = keyof typeof EXIT;
