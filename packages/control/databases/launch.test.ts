/** Settings that follow from what is recorded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { beginScaling } from '../plan/pace.ts';
import type { DatabaseRecord } from '../store/records.ts';
import { liveSettings } from './launch.ts';

const GB = 1024 ** 3;

test('the backlog for replicas is a part of the memory, and small while slots travel', () => {
  const backlog = (maxMemoryBytes: number, travels: boolean): number => {
    const sizing = { shards: 2, replicas: 1, maxMemoryBytes, maxConnections: 100 };
    const database = {
      sizing,
      settings: { policy: 'EnterpriseCluster', evictionPolicy: 'NoEviction' },
      scaling: travels ? beginScaling(sizing as DatabaseRecord['sizing'], 0) : null,
    } as unknown as DatabaseRecord;
    return Number(liveSettings(database)['repl-backlog-size']);
  };
  assert.equal(backlog(2 * GB, false), Math.floor((2 * GB) / 20));
  assert.equal(backlog(2 * GB, true), 16 * 1024 * 1024);
  assert.equal(backlog(GB / 10, true), Math.floor(GB / 200), 'and never larger than without');
});
