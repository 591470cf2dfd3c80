/** A shard's keys are brought into the order of slots before it gives any away: plan/arrange.ts. */
import type { ArrangeEnd } from '../../plan/model.ts';
import type { DatabaseLoop } from '../loop.ts';

export async function arrange(loop: DatabaseLoop, shard: number): Promise<void> {
  const { store, clock } = loop.deps;
  store.write(() => {
    loop.lease();
    const database = loop.database();
    const { scaling } = database;
    if (scaling === null || scaling.move !== null || scaling.arranging != null) return;
    const arranged = [...(scaling.arranged ?? []), shard];
    const arranging = { shard, at: clock.ticks() };
    store.putDatabase({ ...database, scaling: { ...scaling, arranging, arranged } });
    const message = `Shard ${shard} gets a copy whose keys lie in the order of slots, which takes over: from it they leave without stopping writers for long.`;
    loop.event('shard-arranging', 'info', message, { shard });
  });
}

export async function endArrange(loop: DatabaseLoop, reason: ArrangeEnd): Promise<void> {
  loop.deps.store.write(() => noteArranged(loop, reason));
}

/** In a transaction. The copy too many is dismissed by the plan, whoever that is now. */
export function noteArranged(loop: DatabaseLoop, reason: ArrangeEnd): void {
  const database = loop.database();
  const { scaling } = database;
  if (scaling?.arranging == null) return;
  const { shard } = scaling.arranging;
  loop.deps.store.putDatabase({ ...database, scaling: { ...scaling, arranging: null } });
  if (reason === 'in-order') {
    const message = `Keys of shard ${shard} lie in the order of slots now: they begin to leave.`;
    return loop.event('shard-arranged', 'info', message, { shard });
  }
  const message = `Shard ${shard} is not given a copy in the order of slots (${WHY[reason]}). Its keys leave as they lie: writers may wait longer, or more often.`;
  loop.event('shard-not-arranged', 'info', message, { shard, data: { reason } });
}

const WHY: Readonly<Record<Exclude<ArrangeEnd, 'in-order'>, string>> = {
  'shard-gone': 'the shard is gone',
  canceled: 'the change was canceled',
  maintained: 'maintenance was asked for',
  late: 'the copy was not there in time',
  'no-copy-in-order': 'most of its keys were written while it was copied',
  'no-room': 'the machine has no room for one copy more',
  'switch-given-up': 'the switch to it did not come about',
};
