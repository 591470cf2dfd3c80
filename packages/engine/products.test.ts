/**
 * Older engines and the other product, as Debian's suites offer them today: the same launch, the
 * same verbs. What a suite does not offer, or cannot be reached, is said and not counted.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterMember, EngineLaunch } from './contract.ts';
import { EngineError } from './errors.ts';
import type { ProvisionedEngine } from './provision/index.ts';
import { engineRoom, eventually, testEngine, testUser } from './testing.ts';

/** A hang is what this finds, not a slow machine: an engine beside another test has kept INFO for three seconds. */
const MS = 20_000;

const OFFERS = [
  { product: 'valkey', suite: 'trixie' },
  { product: 'redis', suite: 'trixie' },
  { product: 'redis', suite: 'bookworm' },
] as const;

for (const offer of OFFERS) {
  test(`${offer.product} of ${offer.suite}: pair, takeover, users, settings`, async (t) => {
    let engine: ProvisionedEngine;
    try {
      engine = await testEngine(offer);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      t.diagnostic(`absent: ${error.message}`);
      return;
    }
    t.diagnostic(`${engine.build.name} ${engine.build.version}`);
    assert.equal(engine.build.name, offer.product);
    const room = await engineRoom(t, { engine });
    const [a, b] = [await room.launch(), await room.launch()];
    const member = (launch: EngineLaunch, primaryId: string | null): ClusterMember => ({
      id: launch.instance,
      host: launch.host,
      port: launch.port,
      busPort: launch.busPort,
      primaryId,
      epoch: 1,
      slots: primaryId === null ? [[0, 16383]] : [],
    });
    const members = [member(a, null), member(b, a.instance)];
    const start = (launch: EngineLaunch) =>
      room.start({
        ...launch,
        role: { kind: 'cluster', members, myself: launch.instance },
        settings: { 'commandlog-execution-slower-than': '5000', maxmemory: '50mb' },
      });
    const [old, now] = await Promise.all([start(a), start(b)]);
    const began = performance.now();
    await now.link.takeover(MS);
    await eventually(
      'the first SET',
      async () => (await now.link.command(['SET', 'a', '1'], MS)) === 'OK',
    );
    t.diagnostic(`takeover to the first SET: ${Math.round(performance.now() - began)} ms`);
    await eventually('the other one follows', async () => {
      const facts = await old.link.facts(MS);
      return facts.role === 'replica' && facts.link === 'up' && facts.keys === 1;
    });
    // Its primary calls it so only when it has heard from it.
    const facts = await eventually('it is counted as a follower', async () => {
      const seen = await now.link.facts(MS);
      return seen.followers.length > 0 ? seen : null;
    });
    assert.equal(facts.version, `${engine.build.name} ${engine.build.version}`);
    assert.equal(facts.followers[0]?.port, a.port);
    await now.link.setUser(
      testUser('u', 'u-password', ['~*', '+@all', '-@admin', '+clusterscan', '+commandlog|get']),
      MS,
    );
    await now.link.setUser(testUser('u', 'u-password', ['~*', '+@read']), MS);
    assert.deepEqual(await now.link.readSettings(['maxmemory'], MS), {
      maxmemory: String(50 * 1024 ** 2),
    });
    assert.deepEqual((await room.node.find()).length, 2);

    const fenced = await room.start(await room.launch({ role: { kind: 'fenced' } }));
    assert.match(
      String(await fenced.link.command(['SET', 'a', '1'], MS)),
      /^(?:READONLY|MASTERDOWN)/,
    );
    await fenced.link.becomePrimary(MS);
    assert.equal(await fenced.link.command(['SET', 'a', '1'], MS), 'OK');
  });
}
