/**
 * An engine that executes no script any more (endpoint/proxy/refused-scripts.ts says how that comes): its
 * process is replaced, unasked. That is no maintenance but a fault, as a hang is: only another process
 * ends it, and until then every script of every client is refused.
 *
 * How it is replaced is maintenance's way, of this one process: a spare, a planned switch, nothing lost.
 * Whoever brought the engine there may do so again at once, and each time costs a copy of the shard. So the
 * times between get longer, and the user is told what to mend. A new process that would be of another
 * version than the rest is the user's decision.
 */
import type {
  DatabaseRecord,
  InstanceRecord,
  OperationRecord,
  StateReason,
  Store,
} from '../store/index.ts';
import { OPERATIONS_LOOKED_AT, SCRIPTS_AGAIN_FIRST_MS, SCRIPTS_COUNTED_MS } from './limits.ts';

/** As the endpoint tells it. */
export interface ScriptsRefused {
  readonly database: string;
  readonly instance?: string;
  readonly detail: string;
}

/** In `input.kind` of the operation; `input.shard` says whose. */
export const SCRIPTS = 'scripts';

const BUSY = 'Conflict';

/**
 * When its process may be replaced next, after it was at these times: at once, 10, 20, 40 minutes later. A time
 * that is still to come is of a clock that was ahead, and would keep help away until then.
 */
export function replaceableFrom(earlier: readonly number[], now: number): number {
  const counted = earlier.filter((at) => at > now - SCRIPTS_COUNTED_MS && at <= now);
  if (counted.length === 0) return now;
  return Math.max(...counted) + SCRIPTS_AGAIN_FIRST_MS * 2 ** (counted.length - 1);
}

export interface ScriptFaultsDeps {
  readonly store: Store;
  now(): number;
  /** Replaces its process; answers why that is not possible now, or null. */
  replace(instance: InstanceRecord): StateReason | null;
  /** A new process would be of another version than those that run. */
  wouldUpgrade(databaseId: string): boolean;
}

export class ScriptFaults {
  readonly #deps: ScriptFaultsDeps;
  /** By instance: of which process the user was told, and what stood in the way of replacing it. */
  readonly #told = new Map<string, { readonly process: string; readonly not: string | null }>();

  constructor(deps: ScriptFaultsDeps) {
    this.#deps = deps;
  }

  /** Said again each minute while it is so. */
  heard({ database: databaseId, instance: instanceId, detail }: ScriptsRefused): void {
    const { store } = this.#deps;
    const database = store.databaseById(databaseId);
    const instance = store.instances(databaseId).find((each) => each.id === instanceId);
    // A replica may be one that clients read from, or serves next.
    if (database === null || instance?.phase !== 'running') return;
    const { now, text } = this.#plan(database, instance);
    const process = `${instance.process?.pid}/${instance.process?.startTicks}`;
    if (this.#told.get(instance.id)?.process !== process) {
      this.#told.set(instance.id, { process, not: null });
      this.#event(
        database,
        instance,
        `${detail.charAt(0).toUpperCase()}${detail.slice(1)}. ${text}`,
      );
    }
    const not = now ? this.#deps.replace(instance) : null;
    // What is under way passes, and this is said again; what else there is may be the user's to mend.
    if (not === null || not.code === BUSY) return;
    if (this.#told.get(instance.id)?.not === not.code) return;
    this.#told.set(instance.id, { process, not: not.code });
    this.#event(database, instance, `Its process cannot be replaced yet: ${not.message}`);
  }

  #plan(
    database: DatabaseRecord,
    { shard }: InstanceRecord,
  ): { readonly now: boolean; readonly text: string } {
    const { store } = this.#deps;
    const command = `cinnabar maintain ${store.clusterById(database.clusterId)?.name ?? ''}`;
    if (this.#deps.wouldUpgrade(database.id)) {
      const text = `A new process would be of another version, so that is yours to ask for: ${command}`;
      return { now: false, text };
    }
    const filter = { clusterId: database.clusterId, limit: OPERATIONS_LOOKED_AT };
    const earlier = store.operations(filter).filter((each) => isReplacement(each, shard));
    const from = replaceableFrom(
      earlier.map(({ startedAt }) => startedAt),
      this.#deps.now(),
    );
    if (from > this.#deps.now()) {
      const at = new Date(from).toISOString().slice(0, 16);
      const text = `Its process was replaced a short while ago, and will be again from ${at}Z on. At once: ${command}`;
      return { now: false, text };
    }
    return { now: true, text: 'Its process is replaced as soon as nothing else is under way.' };
  }

  #event(database: DatabaseRecord, instance: InstanceRecord, message: string): void {
    this.#deps.store.tell({
      reason: 'scripts-refused',
      severity: 'warning',
      message,
      clusterId: database.clusterId,
      databaseId: database.id,
      shard: instance.shard,
      instance: instance.id,
      data: {},
    });
  }
}

function isReplacement({ kind, input }: OperationRecord, shard: number): boolean {
  return kind === 'Maintain' && input['kind'] === SCRIPTS && input['shard'] === shard;
}
