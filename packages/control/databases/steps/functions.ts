/**
 * Functions belong to a whole database, and every shard has them; slots do not carry them, nor does an
 * empty start (engine rule 13). A shard without them answers FCALL with an error that no client expects.
 */
import { ControlError } from '../../errors.ts';
import type { ShardRecord } from '../../store/records.ts';
import { FUNCTIONS_DEADLINE_MS } from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';
import { STARTING_EMPTY } from '../problems.ts';

/** Both say in the end that they have the same, or this throws. */
export async function copyFunctions(
  loop: DatabaseLoop,
  fromId: string,
  toId: string,
): Promise<void> {
  const [from, to] = [loop.watch(fromId).link, loop.watch(toId).link];
  await to.restoreFunctions(await from.dumpFunctions(FUNCTIONS_DEADLINE_MS), FUNCTIONS_DEADLINE_MS);
  const [wanted, got] = await Promise.all(
    [from, to].map((link) => link.dumpFunctions(FUNCTIONS_DEADLINE_MS)),
  );
  if (wanted === undefined || got?.equals(wanted) !== true) {
    throw new ControlError(
      'functions-changing',
      409,
      'Functions were changed while a shard got its copy; they are copied again.',
    );
  }
}

/**
 * A shard that lost everything gets them from one that did not, before anybody is sent to it. Where that
 * fails it serves all the same, and says so: without functions is better than not at all.
 */
export async function recallFunctions(
  loop: DatabaseLoop,
  index: number,
  id: string,
): Promise<void> {
  const keepers = loop.shards().filter((shard) => {
    const { phase, reason, saved } = shard;
    const served = phase === 'serving' || saved !== null;
    return shard.index !== index && served && reason.code !== STARTING_EMPTY;
  });
  if (keepers.length === 0) return;
  const data = { shard: index, instance: id };
  try {
    const able = ({ primary }: ShardRecord) => primary !== null && answers(loop, primary);
    const model = keepers.find(able)?.primary;
    if (model == null) throw new Error('no other shard answers');
    await copyFunctions(loop, model, id);
    loop.deps.log('info', 'a shard that starts empty got the functions of another', data);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const message = `Shard ${index} starts without the functions of its database (${why}): load them again (FUNCTION LOAD).`;
    loop.tell('functions-lost', 'warning', message, data);
  }
}

function answers(loop: DatabaseLoop, id: string): boolean {
  const { condition, facts } = loop.watch(id).sighting();
  return condition === 'answering' && facts?.role === 'primary' && !facts.loading;
}
