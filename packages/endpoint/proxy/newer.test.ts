/**
 * Options that only a newer engine knows, by the documents of real engines: they are found, and no word
 * of any command that the older engine understands is taken for one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testEngine } from '../../engine/testing.ts';
import { newerOption, newerOptions } from '../../resp/table/index.ts';
import { EXAMPLES } from './examples.ts';

const older = await testEngine({ product: 'valkey', suite: 'trixie' });
const newer = await testEngine();

for (const { build, documents } of [older, newer]) {
  test(`${build.name} ${build.version}: whatever word of a good command a newer option had, it would pass`, () => {
    const all = documents();
    let asked = 0;
    for (const line of EXAMPLES) {
      const words = line.split(' ');
      const [first = '', second = ''] = words;
      const command = `${first}|${second}` in all ? `${first}|${second}` : first;
      const known = all[command];
      if (known === undefined) continue;
      const given = words.slice(command.includes('|') ? 2 : 1);
      for (const word of given) {
        const option = { command, tokens: [word.toUpperCase()], known };
        const said = newerOption(option, given, () => false);
        assert.equal(said, null, line);
        asked++;
      }
    }
    assert.ok(asked > 300, String(asked));
  });
}

test('8 to 9: the options that came, and only where they are options', () => {
  const options = newerOptions(older.documents(), newer.documents());
  const search = options.find(({ command }) => command === 'geosearch');
  assert.ok(search !== undefined);
  assert.deepEqual(search.tokens, ['BYPOLYGON']);
  const said = (line: string): string | null =>
    newerOption(search, line.split(' '), (at) => at === 0);
  assert.equal(said('g bypolygon 3 1 1 2 2 3 3 withdist'), 'BYPOLYGON');
  assert.equal(said('g frommember bypolygon bypolygon 3 1 1 2 2 3 3'), 'BYPOLYGON');
  assert.equal(said('bypolygon frommember BYPOLYGON byradius 1 km asc count 3 any'), null);
  assert.equal(said('g bybox 1 1 m withcoord frommember BYPOLYGON'), null);
});
