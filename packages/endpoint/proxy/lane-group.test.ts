import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Lane } from './lane.ts';
import { connected } from './lane-group.ts';

test('all who wait for a lane are told, whether it comes or not', async () => {
  for (const how of ['onReady', 'onClosed'] as const) {
    const lane = { state: 'connecting', onReady: null, onClosed: null } as unknown as Lane;
    let told = 0;
    lane.onReady = lane.onClosed = () => told++;
    const waits = Promise.all([connected(lane), connected(lane)]);
    lane[how]?.('gone');
    await waits;
    assert.equal(told, 1, how);
  }
});
