/**
 * The orderly stop, in two halves. The endpoint is closed already, so nothing new comes through it;
 * direct clients of an OSSCluster are held by pausing writes before the file is written, so no write
 * is acknowledged that the file does not have. The file counts once: which one is recorded before any
 * process ends, and the next start loads that one and no other (engine rule 11).
 *
 * The first half writes the files of all databases, the second ends their engines. Between them it is
 * decided, because until then nothing is lost: where something could not be saved that an engine still
 * holds (a full disk, mostly), a stop that may be refused is, and everything goes on as it was. One
 * that may not (the machine or the service manager wants it, and kills next) ends what was saved and
 * leaves the rest running, as a kill of this process would: the next start takes it over. Only a stop
 * without saving, which says so by its name, ends what nobody has written down.
 *
 * A stop often comes just when something broke. So a failover that is under way, or due, is let end
 * first: a primary that is dead or hung has nothing to say to a stop, and the copy beside it has
 * everything. And a primary that answers but cannot write its file (its folder is gone, its disk is
 * full) does not take the shard's data with it while a whole copy of it can write one.
 */
import { needsWord } from '../plan/shard.ts';
import type { InstanceRecord, SavedFile, ShardRecord } from '../store/records.ts';
import { passing } from './failpoints.ts';
import {
  DECIDED_DEADLINE_MS,
  DECIDED_POLL_MS,
  FENCE_DEADLINE_MS,
  PING_DEADLINE_MS,
  VERB_DEADLINE_MS,
} from './limits.ts';
import { type DatabaseLoop, wantedOf } from './loop.ts';
import { SaveTurns } from './save-turns.ts';
import { copiesOf, NOTHING, type Outcome, saveShard, text } from './stop-save.ts';

export interface StopReport {
  /** Shards whose data is in a file now. */
  readonly saved: number;
  readonly notes: readonly string[];
  /** Caches that go on, or still have engines, because ending them would have lost data; a sentence each. */
  readonly held: readonly string[];
}

export interface StopWish {
  /** False: the user has no patience; processes end and their data with them. */
  readonly save: boolean;
  /** What cannot be saved keeps everything running, instead of only itself. */
  readonly mayRefuse: boolean;
}

/** Stops all of these; `onSaved` is called for each of which nothing is lost. */
export async function stopAll(
  loops: readonly DatabaseLoop[],
  { save, mayRefuse }: StopWish,
  onSaved: () => void,
): Promise<StopReport> {
  const turns = new SaveTurns(dataBytesOf(loops));
  const stops = await Promise.all(
    loops.map((loop) => DatabaseStop.prepare(loop, { save, mayRefuse }, turns)),
  );
  const refused = mayRefuse && stops.some((stop) => stop.held);
  await Promise.all(
    stops.map(async (stop) => {
      await (refused ? stop.takeBack() : stop.finish());
      if (stop.whole) onSaved();
    }),
  );
  return {
    saved: refused ? 0 : stops.reduce((sum, stop) => sum + stop.saved, 0),
    notes: stops.flatMap((stop) => stop.notes),
    held: stops.flatMap((stop) => stop.tellHeld()),
  };
}

/** What an orderly stop has to write at most: the data of every primary. */
export function dataBytesOf(loops: Iterable<DatabaseLoop>): number {
  let sum = 0;
  for (const loop of loops) {
    for (const { primary } of loop.shards()) {
      sum += loop.sighting(primary ?? '')?.facts?.usedMemoryBytes ?? 0;
    }
  }
  return sum;
}

const MOVING: Outcome = { kind: 'held', why: 'slots are on their way between its shards' };

interface ShardStop {
  readonly shard: ShardRecord;
  outcome: Outcome;
}

class DatabaseStop {
  readonly notes: string[] = [];
  readonly #loop: DatabaseLoop;
  /** Asked before: one that is being deleted may be gone afterwards. */
  readonly #name: string;
  readonly #wish: StopWish;
  readonly #turns: SaveTurns;
  #shards: ShardStop[] = [];
  /** Why the stop of the whole database came to nothing. */
  #failed: string | null = null;

  private constructor(loop: DatabaseLoop, wish: StopWish, turns: SaveTurns) {
    this.#loop = loop;
    this.#turns = turns;
    this.#name = loop.name() ?? loop.id;
    this.#wish = wish;
  }

  /** The first half: files are written, no whole copy has ended. One that fails does not fail others. */
  static async prepare(
    loop: DatabaseLoop,
    wish: StopWish,
    turns: SaveTurns,
  ): Promise<DatabaseStop> {
    const stop = new DatabaseStop(loop, wish, turns);
    try {
      await stop.#prepare();
    } catch (error) {
      stop.#fail(error);
    }
    return stop;
  }

  get held(): boolean {
    return this.#failed !== null || this.#shards.some(({ outcome }) => outcome.kind === 'held');
  }

  get whole(): boolean {
    return !this.held && this.#shards.every(({ outcome }) => outcome.kind !== 'lost');
  }

  get saved(): number {
    return this.#shards.filter(({ outcome }) => outcome.kind === 'saved').length;
  }

  async #prepare(): Promise<void> {
    const loop = this.#loop;
    const database = loop.deps.store.databaseById(loop.id);
    // Deleted, and its loop has not turned since.
    if (database === null) return;
    // What is being deleted is not kept, and parts of it are gone.
    const save = this.#wish.save && wantedOf(database) !== 'nothing';
    let settled = true;
    if (save) {
      loop.stopSoon();
      await decided(loop);
      settled = await slotsInPlace(loop);
    }
    loop.freeze();
    // A step that is still running writes records of its own: they must not come after ours.
    if (this.#wish.save) await loop.idle();
    this.#shards = await Promise.all(
      loop.shards().map(async (shard): Promise<ShardStop> => {
        if (!save) return { shard, outcome: NOTHING };
        const outcome = settled || !this.#wish.mayRefuse ? await this.#saved(shard) : MOVING;
        // Where engines may be killed next, a file that waits for the user's word is better than none.
        return { shard, outcome: settled ? outcome : MOVING };
      }),
    );
  }

  /** One that fails does not fail the others, which are paused. */
  async #saved(shard: ShardRecord): Promise<Outcome> {
    try {
      return await saveShard(this.#loop, shard, this.#turns, this.notes);
    } catch (error) {
      return { kind: 'held', why: `shard ${shard.index} could not be saved (${text(error)})` };
    }
  }

  /** The second half: what is saved is recorded, and ended. */
  async finish(): Promise<void> {
    if (this.#failed !== null) return this.#leave();
    let recorded = false;
    try {
      const ending = this.#shards.filter(({ outcome }) => outcome.kind !== 'held');
      await passing('record-stop', () => {
        this.#loop.deps.store.write(() => {
          for (const { shard, outcome } of ending) recordStop(this.#loop, shard, outcome);
        });
        recorded = true;
      });
      await this.#unpause(this.#shards.filter((each) => !ending.includes(each)));
      await this.#loop.stop();
      const gone = new Set(ending.map(({ shard }) => shard.index));
      await passing('end-engines', () =>
        Promise.all(
          this.#loop
            .instances()
            .filter((instance) => gone.has(instance.shard))
            .map((instance) => end(this.#loop, instance, this.notes)),
        ),
      );
    } catch (error) {
      this.#fail(error);
      // What is recorded as the file of this stop stays that: the next start looks at both.
      await (recorded ? this.#loop.stop() : this.#leave());
    }
  }

  /** Engines go on. What was written stays: whoever could not be refused may kill them next. */
  async #leave(): Promise<void> {
    await this.#unpause(this.#shards);
    await this.#loop.stop();
  }

  /** Nothing of the first half holds: engines go on as if nobody had asked for a stop. */
  async takeBack(): Promise<void> {
    const { node } = this.#loop.deps;
    for (const { outcome } of this.#shards) {
      if (outcome.kind !== 'saved' || !outcome.fresh) continue;
      try {
        const { process, dataDir } = this.#loop.instance(outcome.file.instance);
        // Nobody was looking meanwhile: of one that has died this is the only copy.
        if (process === null || node.inspect(process).state === 'gone') continue;
        // It is nobody's file; left there, it would take the room that the next stop needs.
        await node.dropDataFile(dataDir);
      } catch (error) {
        this.#warn(error);
      }
    }
    await this.#leave();
  }

  /** Writes that wait: a pause that cannot be ended now ends by itself. */
  async #unpause(shards: readonly ShardStop[]): Promise<void> {
    await Promise.all(
      shards.map(async ({ shard }) => {
        if (!this.#wish.save || shard.phase !== 'serving' || shard.primary === null) return;
        try {
          await this.#loop.watch(shard.primary).link.unpause(VERB_DEADLINE_MS);
        } catch (error) {
          this.#warn(error);
        }
      }),
    );
  }

  /** For the user, and as an event: what goes on and why. */
  tellHeld(): string[] {
    if (!this.held) return [];
    const reasons = this.#shards.flatMap(({ outcome }) =>
      outcome.kind === 'held' ? [outcome.why] : [],
    );
    const why = this.#failed ?? [...new Set(reasons)].join('; ');
    const message = `Cache ${this.#name} was not stopped: ${why}. Its engines go on and hold the data.`;
    this.#loop.tell('stop-not-saved', 'error', message);
    return [message];
  }

  #fail(error: unknown): void {
    this.#warn(error);
    this.#failed = `it could not be stopped in order (${text(error)})`;
  }

  #warn(error: unknown): void {
    const data = { name: this.#name, error: String(error) };
    this.#loop.deps.log('error', 'not stopped in order', data);
  }
}

/** Resolves when each shard has a primary that answers, or gets none by waiting. */
async function decided(loop: DatabaseLoop): Promise<void> {
  const { clock } = loop.deps;
  const deadline = clock.ticks() + DECIDED_DEADLINE_MS;
  for (;;) {
    const open = await Promise.all(loop.shards().map((shard) => undecided(loop, shard)));
    if (!open.includes(true) || clock.ticks() > deadline) return;
    loop.wake();
    await clock.sleep(DECIDED_POLL_MS);
  }
}

/**
 * A file belongs to the slots that its shard owned when it was written. So a batch of slots that is on
 * its way arrives, or is taken back, before any file is. False: it did neither.
 */
async function slotsInPlace(loop: DatabaseLoop): Promise<boolean> {
  const { clock } = loop.deps;
  const move = loop.database().scaling?.move;
  if (move == null) return true;
  try {
    await loop.watch(move.sourceNode).link.cancelSlotMoves(VERB_DEADLINE_MS);
  } catch {
    // It ends by itself, or with its engine.
  }
  const deadline = clock.ticks() + DECIDED_DEADLINE_MS;
  while (loop.database().scaling?.move != null) {
    if (clock.ticks() > deadline) return false;
    loop.wake();
    await clock.sleep(DECIDED_POLL_MS);
  }
  return true;
}

async function undecided(loop: DatabaseLoop, shard: ShardRecord): Promise<boolean> {
  // A planned switch that began before: its commit may come at any moment.
  if (loop.pausing.has(shard.index)) return true;
  if (shard.phase === 'promoting' || shard.phase === 'switching') return true;
  if (shard.phase !== 'serving' || shard.primary === null) return false;
  if (copiesOf(loop, shard, shard.primary).length === 0) return false;
  try {
    // Asked now: the last answer may be older than what stopped it.
    await loop.watch(shard.primary).link.ping(PING_DEADLINE_MS);
    return false;
  } catch {
    return true; // silent or gone: who serves instead is being decided
  }
}

function recordStop(loop: DatabaseLoop, shard: ShardRecord, outcome: Outcome): void {
  const { store, clock } = loop.deps;
  if (shard.phase === 'new' || shard.phase === 'leaving') return;
  const now = store.shard(loop.id, shard.index);
  if (now === null) return;
  // A file that no start has used up yet is as good as before, however impatient this stop is.
  const unused = now.phase === 'down' ? now.saved : null;
  const saved: SavedFile | null = outcome.kind === 'saved' ? outcome.file : unused;
  store.putShard({
    ...now,
    phase: 'down',
    // Whoever has the file starts first.
    primary: saved?.instance ?? now.successor ?? now.primary,
    successor: null,
    saved,
    // An older copy is no better for having been in a file: the user's word is asked for then, too.
    reason:
      saved !== null && needsWord(now)
        ? now.reason
        : {
            code: 'stopped',
            message:
              'It was stopped in order, and is there again when its engine has read its data.',
          },
    decidedAt: clock.ticks(),
  });
}

async function end(loop: DatabaseLoop, instance: InstanceRecord, notes: string[]): Promise<void> {
  const { store, node } = loop.deps;
  try {
    if (instance.process !== null) await node.kill(instance.process, FENCE_DEADLINE_MS);
    store.write(() => {
      const now = loop.instance(instance.id);
      const phase = now.phase === 'running' ? 'dead' : now.phase;
      store.putInstance({
        ...now,
        phase,
        process: null,
        synced: false,
        endedAt: loop.deps.clock.now(),
      });
    });
  } catch (error) {
    notes.push(text(error));
  }
}
