/**
 * The guard of one database in one worker: its rules, what they did, and telling of it. Each act is
 * counted; of each rule one event a minute says how often it acted, so that a client in a loop does
 * not fill the log.
 */
import { EXPENSIVE } from '../../resp/table/index.ts';
import type { GuardCounters, GuardRule } from '../control-protocol.ts';
import { GUARD_SAID_MS } from './limits.ts';
import type { World } from './world.ts';

interface Tally {
  readonly command: string;
  readonly action: GuardRule['action'];
  times: number;
  /** Since the last event, and when that was. */
  unsaid: number;
  saidAt: number;
}

export class GuardBook {
  readonly #world: World;
  #rules: ReadonlyMap<string, GuardRule> = new Map();
  readonly #tallies = new Map<string, Tally>();

  constructor(world: World) {
    this.#world = world;
  }

  set rules(rules: readonly GuardRule[]) {
    this.#rules = new Map(
      rules.filter(({ action }) => action !== 'allow').map((rule) => [rule.command, rule]),
    );
  }

  /** Commands that must not take the short way. */
  get commands(): ReadonlySet<string> {
    return new Set(this.#rules.keys());
  }

  get empty(): boolean {
    return this.#rules.size === 0;
  }

  rule(command: string): GuardRule | null {
    return this.#rules.get(command) ?? null;
  }

  acted(rule: GuardRule, client: string, key: string, size: number | null): void {
    const { now, host, database } = this.#world;
    const { command, action } = rule;
    let tally = this.#tallies.get(`${action} ${command}`);
    if (tally === undefined) {
      tally = { command, action, times: 0, unsaid: 0, saidAt: -GUARD_SAID_MS };
      this.#tallies.set(`${action} ${command}`, tally);
    }
    tally.times++;
    tally.unsaid++;
    if (now - tally.saidAt < GUARD_SAID_MS) return;
    const verb = action === 'refuse' ? 'refused' : 'warned of';
    const of = key === '' ? '' : ` on '${key}'`;
    const counts = EXPENSIVE.get(command)?.counts ?? 'elements';
    const found = size === null ? '' : ` with ${size} ${counts}`;
    const times = tally.unsaid === 1 ? '' : `, ${tally.unsaid} times since it was last said`;
    tally.unsaid = 0;
    tally.saidAt = now;
    host.emit({
      type: 'event',
      at: host.now(),
      kind: 'limit',
      database,
      limit: `guard-${action}`,
      detail: `${verb} ${command.toUpperCase()}${of}${found} by client ${client}${times}`,
    });
  }

  counts(): Record<string, GuardCounters> {
    const all: Record<string, GuardCounters> = {};
    for (const { command, action, times } of this.#tallies.values()) {
      const before = all[command] ?? { warned: 0, refused: 0 };
      all[command] =
        action === 'refuse' ? { ...before, refused: times } : { ...before, warned: times };
    }
    return all;
  }
}
