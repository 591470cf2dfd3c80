/** What a scenario acts on. */
import type { Store } from '../store/index.ts';
import type { Checks } from './checks.ts';
import type { SimClock } from './clock.ts';
import type { Random } from './random.ts';
import type { ClientView } from './views.ts';
import type { World } from './world.ts';

export interface Stage {
  readonly random: Random;
  readonly clock: SimClock;
  readonly world: World;
  readonly checks: Checks;
  /** Of the incarnation that lives now. */
  readonly store: Store;
  /** The control process is dead now, or stops in order. */
  away(): boolean;
  views(): readonly ClientView[];
  wake(databaseId: string): void;
  crash(why: string): void;
  /** One more thing went wrong; for the count. */
  fault(): void;
  /** An orderly stop; later it is started again. */
  stop(): void;
  say(line: string): void;
}
