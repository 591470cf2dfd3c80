import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearest } from './nearest.ts';

test('a few letters away, the nearest first; nothing when nothing is like it', () => {
  const words = ['keys', 'hkeys', 'hgetall', 'hvals', 'zrange', 'zrangestore', 'zrevrange'];
  assert.deepEqual(nearest('hgetal', words), ['hgetall']);
  assert.deepEqual(nearest('key', words), ['keys']);
  assert.deepEqual(nearest('hkey', words), ['hkeys']);
  assert.deepEqual(nearest('zrangee', words), ['zrange']);
  assert.deepEqual(nearest('nosuch', words), []);
  assert.deepEqual(nearest('', words), []);
});
