import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusal } from './refusal.ts';

test('no room is a refusal, on the machine or on its disk; what is in the way is a conflict', () => {
  const exit = (status: number, code: string) =>
    refusal({ status, headers: {}, body: { error: { code, message: 'why' } } }, 'PUT', '/x').exit;
  assert.equal(exit(409, 'InsufficientCapacity'), 'refused');
  assert.equal(exit(507, 'DiskFull'), 'refused');
  assert.equal(exit(409, 'Conflict'), 'conflict');
  assert.equal(exit(409, 'PortInUse'), 'conflict');
});

test('the next step is about what was refused', () => {
  const path =
    '/subscriptions/s/providers/Microsoft.Cache/redisEnterprise/sessions/databases/default';
  const remedy = (code: string, message = 'why') =>
    refusal({ status: 409, headers: {}, body: { error: { code, message } } }, 'POST', path).remedy;
  assert.match(remedy('UsedMemoryTooLarge'), /cinnabar sku list --for sessions$/);
  assert.match(remedy('ReplicaNotInSync'), /cinnabar show sessions$/);
  assert.match(remedy('NothingToFailOver'), /cinnabar failover sessions$/);
  assert.match(remedy('Conflict'), /cinnabar operations$/);
  // Once is enough.
  assert.equal(remedy('PortInUse', 'Port 1 is taken. Port 2 is free.'), '');
  assert.equal(remedy('NoReplica', 'Turn it on first: cinnabar update x --ha on'), '');
});
