/** Which settings Azure's CONFIG takes, and how a wrong one is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSettings } from './azure-config.ts';

const settingsOf = (...words: string[]) => readSettings(words);

test('a setting is known by its present name, whichever name was used', () => {
  assert.deepEqual(settingsOf('LUA-time-limit', '100', 'notify-keyspace-events', ''), {
    settings: { 'busy-reply-threshold': '100', 'notify-keyspace-events': '' },
  });
});

test('what Azure does not allow, or not so, is refused by name', () => {
  const rows: [words: string[], problem: RegExp][] = [
    [[], /wrong number of arguments/],
    [['slowlog-max-len'], /wrong number of arguments/],
    [['maxmemory', '1'], /Unknown option.*'maxmemory'/],
    [['primaryauth', 'x'], /Unknown option.*'primaryauth'/],
    [['__proto__', 'x'], /Unknown option/],
    [[`${'x'.repeat(500)}\r\n`, '1'], /Unknown option.{0,50}'x{64}'$/],
    [['slowlog-max-len', '127'], /between 128 and 1024/],
    [['slowlog-max-len', 'many'], /between 128 and 1024/],
    [['slowlog-log-slower-than', '999'], /must be between 1000/],
    [['lua-time-limit', '60001'], /'lua-time-limit'.*between 0 and 60000/],
    [['lua-time-limit', '1', 'busy-reply-threshold', '2'], /duplicate parameter/],
    [['notify-keyspace-events', 'K\r\nrequirepass x'], /invalid/],
    [['notify-keyspace-events', 'K'.repeat(65)], /invalid/],
  ];
  for (const [words, problem] of rows) {
    const read = readSettings(words);
    assert.ok('problem' in read, JSON.stringify(words));
    assert.match(read.problem, problem);
    assert.doesNotMatch(read.problem, /[\r\n]/);
  }
});
