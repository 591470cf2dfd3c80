/** What the main thread and a load thread say to each other. */
import type { Target } from './asker.ts';
import type { Profile } from './profile.ts';
import type { LoadPart } from './report.ts';

export type Pace =
  /**
   * Requests a second of this thread; `poisson` arrivals are independent, `even` ones equally spaced.
   * `sleepy`: up to 2 ms late instead of spinning, for a load that shares its cores with the server;
   * latencies count from the intended time either way.
   */
  | {
      readonly kind: 'open';
      readonly rate: number;
      readonly arrivals: 'poisson' | 'even';
      readonly sleepy?: boolean;
    }
  /** Each connection keeps this many requests on the way. */
  | { readonly kind: 'closed'; readonly depth: number };

export interface ThreadOptions {
  readonly thread: number;
  /** Part of the keys of this run's witnesses. */
  readonly run: string;
  /** Connections go to these in turn; one is enough for a cluster. */
  readonly targets: readonly Target[];
  readonly cluster: boolean;
  /** Sentinels, and the name that they know the primary by; null: connections go where they went. */
  readonly sentinels: { readonly ports: readonly number[]; readonly name: string } | null;
  readonly protocol: 2 | 3;
  readonly connections: number;
  readonly pace: Pace;
  readonly profile: Profile;
  /** Infinity: until told to stop. */
  readonly durationMs: number;
  /** Requests that fell due in this first part are not in the latencies. */
  readonly warmUpMs: number;
  readonly seed: number;
  /** An error reply that matches says that the write may have happened. */
  readonly unknownError: string;
}

export type ToThread =
  | { readonly type: 'start' }
  | { readonly type: 'stop' }
  | { readonly type: 'verify'; readonly target: Target }
  | { readonly type: 'finish' };

export type FromThread =
  /** Every connection is up, or the deadline passed with `connected` of them. */
  | { readonly type: 'ready'; readonly connected: number }
  | { readonly type: 'progress'; readonly ok: number; readonly failed: number }
  | { readonly type: 'loaded' }
  | { readonly type: 'done'; readonly part: LoadPart }
  | { readonly type: 'failed'; readonly message: string };
