/**
 * The crash matrix: a life is played with the control process crashed, hung or failed at one step of
 * it. Whatever the point, a control process that comes afterwards finishes the work or takes it
 * back: what was acknowledged is there, and nothing is left behind.
 *
 * A crash is repaired by starting the next process, as its parent would; a process that hangs is
 * killed first; a step that failed is tried again by the process itself, or by the user who reads the error.
 */
import {
  ALL_STEPS,
  ALSO,
  EFFECTS,
  FAILPOINT_VARIABLE,
  type Failpoint,
  type FailpointEffect,
  REACHED,
  type Step,
  type StepLife,
} from '../../control/databases/failpoints.ts';
import type { Policy } from '../../endpoint/control-protocol.ts';
import type { OurService } from '../benches/our-service.ts';
import { until } from '../processes.ts';
import { CreateFailed, createCache, removeCache, write } from './cache.ts';
import { LIVES, type Stage } from './lives.ts';
import { olderEngine, runOn } from './older-engine.ts';
import { healed } from './watch.ts';

export interface Play {
  readonly life: Exclude<StepLife, 'rare'>;
  readonly point: Failpoint;
  readonly effect: FailpointEffect;
}

const POLICIES: readonly Policy[] = ['EnterpriseCluster', 'NoCluster', 'OSSCluster'];
const ARMED_MS = 10 * 60 * 1000;
const WATCH_MS = 20;
const NOTICE_MS = 1_000;
const BACK_DEADLINE_MS = 60_000;
/** More often than any death and failure together explain. */
const MOST_TRIES = 6;

/** Every step that an ordinary life passes, in each of its lives, with each effect. */
export function allPlays(effects: readonly FailpointEffect[] = EFFECTS): Play[] {
  const plays: Play[] = [];
  for (const [name, life] of Object.entries(ALL_STEPS)) {
    const step = name as Step;
    for (const each of [life, ...(ALSO[step] ?? [])]) {
      if (each === 'rare') continue;
      for (const side of ['before', 'after'] as const) {
        for (const effect of effects) plays.push({ life: each, point: `${step}:${side}`, effect });
      }
    }
  }
  return plays;
}

let played = 0;

/** Answers whether the life passed the point. Throws when something does not hold afterwards. */
export async function play(service: OurService, what: Play): Promise<boolean> {
  played += 1;
  const life = LIVES[what.life];
  const stage: Stage = {
    service,
    name: `play-${played}`,
    policy: life.policy ?? POLICIES[played % POLICIES.length] ?? 'EnterpriseCluster',
    once: new Set(),
  };
  const { name, policy } = stage;
  const value = `${what.point} ${played}`;
  if (life.olderEngine === true) await runOn(service, await olderEngine(service.home));
  if (!service.runs) await service.start();
  if (life.cache) {
    await createCache(service, name, policy);
    await healed(service, [name]);
    await write(service, name, policy, value);
  }
  if (life.olderEngine === true) await runOn(service, null);
  const keeper = new Keeper(service, what);
  try {
    await keeper.arm(life.atStart === true);
    for (let tries = 1; ; tries += 1) {
      const restarts = keeper.restarts;
      try {
        await life.act(stage);
        if (what.life !== 'delete') await healed(service, [name]);
        break;
      } catch (error) {
        await keeper.settled();
        const excused = keeper.restarts > restarts || keeper.reached;
        if (!excused || tries === MOST_TRIES) throw error;
        // Rolled back: it is removed, as its error says, and asked for again.
        if (error instanceof CreateFailed) await removeCache(service, name);
      }
    }
    await keeper.settled();
  } finally {
    keeper.stop();
  }
  await service.api.clearFailpoint();
  if (what.life !== 'delete') await healed(service, [name]);
  await life.holds(stage, value);
  await removeCache(service, name);
  const engines = service.engines();
  if (engines.length > 0) throw new Error(`${engines.length} engines are left`);
  return keeper.reached;
}

/** Who starts the control process again, as its parent does, and ends one that hangs. */
class Keeper {
  readonly service: OurService;
  readonly what: Play;
  restarts = 0;
  private stopped = false;
  private busy: Promise<void> | null = null;
  private seen = false;

  constructor(service: OurService, what: Play) {
    this.service = service;
    this.what = what;
  }

  get reached(): boolean {
    this.seen ||= this.service.logs.some((line) => line.includes(REACHED));
    return this.seen;
  }

  async arm(atStart: boolean): Promise<void> {
    const { point, effect } = this.what;
    this.service.logs.length = 0;
    if (atStart) {
      await this.service.killControl();
      const env = { [FAILPOINT_VARIABLE]: `${point}=${effect}` };
      // It may never be ready: that is what is looked at.
      const started = this.service.start(env).catch(() => undefined);
      await Promise.race([started, this.passes()]);
    } else {
      await this.service.api.setFailpoint({ point, effect, forMs: ARMED_MS });
    }
    void this.watch();
  }

  private passes(): Promise<void> {
    return until('the point is reached', () => this.reached, BACK_DEADLINE_MS).catch(
      () => undefined,
    );
  }

  /** Resolves when a control process runs that is not the one that failed. */
  async settled(): Promise<void> {
    // A death shows a moment after its API fell silent.
    await until('it shows', () => this.due() || this.busy !== null, NOTICE_MS).catch(
      () => undefined,
    );
    await until(
      'a control process runs',
      () => this.service.runs && this.busy === null && !this.due(),
      BACK_DEADLINE_MS,
    );
  }

  stop(): void {
    this.stopped = true;
  }

  private due(): boolean {
    if (!this.service.runs) return true;
    return this.what.effect === 'hang' && this.restarts === 0 && this.reached;
  }

  private async watch(): Promise<void> {
    while (!this.stopped) {
      if (this.due() && !this.service.stopping) {
        this.busy = this.restart();
        await this.busy;
        this.busy = null;
      }
      await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
    }
  }

  private async restart(): Promise<void> {
    void this.reached; // Before the log of the next one pushes it out.
    if (this.service.runs) await this.service.killControl();
    await this.service.start();
    this.restarts += 1;
  }
}
