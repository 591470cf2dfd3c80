/**
 * The writers of one shard. Most write and go on; a few ask with WAIT for a replica after each write
 * and count only what one has. All are open-loop: they write when it is time, whatever the answers
 * do, so a pause of the shard is seen by as many writes as fell due in it.
 */
import { type LoadHandle, startLoad } from '../load/generator.ts';
import type { LoadReport } from '../load/report.ts';
import type { System } from './system.ts';

/** A little above what the definition asks for: Poisson arrivals of a whole second vary. */
const PLAIN_RATE = 2_100;
const PLAIN_CONNECTIONS = 10;
const GUARDED_RATE = 40;
const GUARDED_CONNECTIONS = 8;
const VALUE_BYTES = 100;
/** WAIT answers 0 after this while a new replica is still being built: no backlog then, either. */
const WAIT_MS = 100;

export interface WritersReport {
  readonly plain: LoadReport;
  readonly guarded: LoadReport;
}

export class Writers {
  private readonly plain: LoadHandle;
  private readonly guarded: LoadHandle;

  private constructor(plain: LoadHandle, guarded: LoadHandle) {
    this.plain = plain;
    this.guarded = guarded;
  }

  static async start(system: System, seed: number): Promise<Writers> {
    const open = (rate: number) =>
      ({ kind: 'open', rate, arrivals: 'poisson', sleepy: true }) as const;
    const [plain, guarded] = await Promise.all([
      startLoad({
        ...system.reach,
        pace: open(PLAIN_RATE),
        connections: PLAIN_CONNECTIONS,
        seed,
        profile: {
          operations: [{ kind: 'register', weight: 1, valueBytes: VALUE_BYTES }],
          streamsPerConnection: 4,
          tag: system.tag,
        },
      }),
      startLoad({
        ...system.reach,
        pace: open(GUARDED_RATE),
        connections: GUARDED_CONNECTIONS,
        seed: seed + 1,
        profile: {
          operations: [{ kind: 'register', weight: 1, valueBytes: VALUE_BYTES, waitMs: WAIT_MS }],
          streamsPerConnection: 4,
          tag: system.tag,
        },
      }),
    ]);
    return new Writers(plain, guarded);
  }

  get acknowledged(): number {
    return this.plain.progress().ok;
  }

  /** What they wrote to is gone for good. */
  async abandon(): Promise<void> {
    await Promise.all([this.plain.abandon(), this.guarded.abandon()]);
  }

  /** No more writes; everything written is read back and judged. */
  async end(): Promise<WritersReport> {
    this.plain.stop();
    this.guarded.stop();
    const [plain, guarded] = await Promise.all([this.plain.report, this.guarded.report]);
    return { plain, guarded };
  }
}
