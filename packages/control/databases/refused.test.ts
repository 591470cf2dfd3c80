/** A change that an engine does not want: the operation ends and says why, and a better one succeeds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { newOperation } from '../simulation/records.ts';
import { world } from './testing.ts';

const REFUSED_MS = 30_000;

test('an update that an engine refuses at each try fails, with the reason of the engine', async (t) => {
  const w = await world(t);
  const id = await w.create();
  const update = (operation: string, outputBufferBytes: number): void => {
    w.update(id, { outputBufferBytes });
    const database = w.store.databaseById(id);
    assert.ok(database !== null);
    w.store.write(() => {
      w.store.putDatabase({ ...database, provisioningState: 'Updating' });
      w.store.putOperation(newOperation(operation, 'UpdateDatabase', database, Date.now()));
    });
    w.databases.wake(id);
  };
  const ended = (operation: string) =>
    eventually(
      'it ends',
      () => {
        const found = w.store.operation(operation);
        return found?.endedAt == null ? null : found;
      },
      REFUSED_MS,
    );

  update('refused', -1);
  const refused = await ended('refused');
  assert.equal(refused.status, 'Failed');
  assert.equal(refused.error?.code, 'engine-refused');
  assert.match(refused.error?.message ?? '', /client-output-buffer-limit/);
  assert.equal(w.store.databaseById(id)?.resourceState, 'UpdateFailed');
  assert.equal(w.shard(id).phase, 'serving', 'it serves on');

  update('better', 1_000_000);
  assert.equal((await ended('better')).status, 'Succeeded');
  assert.equal(w.store.databaseById(id)?.provisioningState, 'Succeeded');
});
