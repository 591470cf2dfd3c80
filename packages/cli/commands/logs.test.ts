import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readable } from './logs.ts';

test('a line of the log says each thing once, and nothing of what is not there', () => {
  const line = (fields: object) =>
    readable(
      JSON.stringify({ level: 40, time: '2026-11-29T06:22:51.730Z', pid: 1, ...fields }),
    ).replace(/^\S+ \S+ {2}/, '');
  const event = {
    reason: 'engine-died',
    severity: 'error',
    message: 'The primary of shard 0 ended by itself.',
    databaseId: 'd1',
    shard: 0,
    instance: null,
    data: {},
  };
  assert.equal(
    line({ ...event, msg: event.message }),
    'warn   The primary of shard 0 ended by itself.  reason=engine-died databaseId=d1 shard=0',
  );
  // A message of its own is no repetition; false and 0 say something.
  assert.equal(
    line({ msg: 'failed', message: 'why', ok: false }),
    'warn   failed  message=why ok=false',
  );
  assert.equal(readable('Error: a stack trace'), 'Error: a stack trace');
});
