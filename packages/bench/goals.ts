/**
 * The goals of every benchmark: the only file that holds them. A metric with no entry is shown and
 * not judged. Where they come from: docs/benchmarks.md.
 */

/** `ours` against a number, or against `value` times the median of the rival `than`. */
export interface Check {
  readonly is: 'at-least' | 'at-most';
  readonly value: number;
  readonly than?: string;
  /** With `than` and `at-most`: this absolute figure is good enough, too. */
  readonly orIfLarger?: number;
}

export type Goals = Readonly<Record<string, readonly Check[]>>;

const atMost = (value: number): Check[] => [{ is: 'at-most', value }];
const times = (value: number, than: string): Check => ({ is: 'at-least', value, than });

const near = (than: string): Check[] => [
  { is: 'at-least', value: 0.95, than },
  { is: 'at-most', value: 1.05, than },
];

/** Endpoint cells: the factor over twemproxy and direct depends on TLS and pipelining. */
function endpointCells(): Record<string, Check[]> {
  const cells: Record<string, Check[]> = {};
  for (const verb of ['get', 'set']) {
    for (const size of [100, 1024]) {
      cells[`plain_p1_${verb}_${size}`] = [
        times(1.25, 'haproxy'),
        times(1, 'twemproxy'),
        times(0.95, 'direct'),
      ];
      cells[`plain_p16_${verb}_${size}`] = [
        times(1.25, 'haproxy'),
        times(2, 'twemproxy'),
        times(0.6, 'direct'),
      ];
      cells[`tls_p1_${verb}_${size}`] = [times(1.25, 'haproxy'), times(0.8, 'direct')];
      cells[`tls_p16_${verb}_${size}`] = [times(1.25, 'haproxy'), times(0.55, 'direct')];
    }
  }
  return cells;
}

/** Small calls by callers at once, against the same client with its best settings and its defaults. */
function clientCalls(): Record<string, Check[]> {
  const cells: Record<string, Check[]> = {};
  for (const operation of ['get', 'set']) {
    for (const callers of [1, 50, 1_000]) {
      for (const family of ['', '_redis']) {
        cells[`${operation}_c${callers}${family}`] = [
          times(0.95, 'best_settings'),
          times(1, 'defaults'),
        ];
      }
    }
  }
  return cells;
}

export const GOALS: Readonly<Record<string, Goals>> = {
  lifecycle: {
    create_to_set_s: atMost(2),
    adopt_s: atMost(1),
    control_rss_mb: atMost(150),
    idle_cpu_percent: atMost(1),
    left_behind: atMost(0),
  },
  scale: { errors: atMost(0), longest_pause_ms: atMost(150) },
  endpoint: endpointCells(),
  isolation: {
    small_get_p99_ms: [
      { is: 'at-most', value: 3, than: 'alone', orIfLarger: 2 },
      { is: 'at-most', value: 1 / 3, than: 'twemproxy' },
      { is: 'at-most', value: 1 / 3, than: 'direct' },
    ],
    bulk_mb_s: [times(0.7, 'direct')],
  },
  connections: {
    idle_connections: [{ is: 'at-least', value: 5_000 }],
    plain_kb_per_connection: atMost(10),
    tls_kb_per_connection: atMost(50),
    engine_connections: atMost(99),
  },
  'sku-connections': {
    plain_held: [{ is: 'at-least', value: 15_000 }],
    tls_held: [{ is: 'at-least', value: 15_000 }],
    plain_refused_by_name: [{ is: 'at-least', value: 5 }],
    tls_refused_by_name: [{ is: 'at-least', value: 5 }],
  },
  failover: {
    crash_p50_ms: atMost(25),
    crash_p99_ms: atMost(100),
    hang_p99_ms: atMost(1_500),
    planned_p99_ms: atMost(20),
    planned_errors: atMost(0),
    lost_with_wait: atMost(0),
    unexplained_errors: atMost(0),
  },
  generator: {
    one_thread_rate: [{ is: 'at-least', value: 50_000 }],
    // Agreement, not a race: neither more nor less than 5 % apart.
    same_load_rate: near('valkey_benchmark'),
    same_load_p50_ms: near('valkey_benchmark'),
  },
  client: {
    small_get_p99_ms_lanes: [{ is: 'at-most', value: 1, than: 'best_rival_two_clients' }],
    small_get_p99_ms_chunked: [{ is: 'at-most', value: 0.1, than: 'best_rival' }],
    bulk_mb_s: [times(1, 'best_rival')],
    ...clientCalls(),
  },
};

/**
 * Known share of `direct` that each rival reaches, measured when the project began (two cores, 50
 * clients, GET). A run in which a rival falls far below its share measured a disturbance, not us.
 */
export const RIVAL_SHARE: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  plain_p1: { haproxy: 46 / 76, twemproxy: 76 / 76 },
  plain_p16: { haproxy: 596 / 1157, twemproxy: 336 / 1157 },
  tls_p1: { haproxy: 32 / 57 },
  tls_p16: { haproxy: 449 / 900 },
};
