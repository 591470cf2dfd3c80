/** First starts that were ended in the middle. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ApiClient } from '../api/client.ts';
import { waitFor } from '../api/operations.ts';
import type { Context } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { foldersFrom } from '../folders.ts';
import { processesOf } from '../orphans.ts';
import { Output, type Sink } from '../output/output.ts';
import { Rig } from '../testing/rig.ts';
import { makeQuickstart } from './quickstart.ts';

const MS = 60_000;

class Collected implements Sink {
  text = '';
  write(text: string): void {
    this.text += text;
  }
}

function contextOf(rig: Rig, seen: Collected): Context {
  return {
    env: rig.env,
    folders: foldersFrom(rig.env),
    output: new Output(seen, seen, rig.env, false),
    api: () => ApiClient.forHome(rig.home),
  };
}

/** A cluster and nothing else, as a killed `create` leaves it. */
async function halfMade(context: Context, name: string): Promise<void> {
  const api = context.api();
  const made = await api.putCluster(name, {
    location: 'local',
    sku: { name: 'Balanced_B1' },
    properties: {
      highAvailability: 'Enabled',
      minimumTlsVersion: '1.2',
      publicNetworkAccess: 'Enabled',
    },
  });
  await waitFor(api, context.output, made.operation, { wait: true, timeoutMs: MS });
}

suite('a first start that is ended', { concurrency: true }, () => {
  test('Ctrl-C while the quickstart is being made: it ends, and says that it was interrupted', async (t) => {
    const rig = new Rig();
    t.after(() => rig.clean());
    const up = rig.up('--quickstart');
    t.after(() => up.child.kill('SIGKILL'));
    await up.says('Choose ports');
    assert.equal(await up.stop('SIGINT'), EXIT.interrupted, up.err);
    assert.doesNotMatch(up.err, /^error:/m);
    assert.deepEqual(processesOf(foldersFrom(rig.env)), []);
  });

  test('a cache without a database: shown as that, and completed by the next start or by create', async (t) => {
    const rig = new Rig();
    t.after(() => rig.clean());
    const up = rig.up();
    t.after(() => up.child.kill('SIGKILL'));
    await up.says('No cache yet.');
    const later = await rig.run('up', '--detach', '--quickstart');
    assert.match(
      later.err,
      /runs already.*on the first start ever\. Make it: cinnabar create quickstart/s,
    );
    const seen = new Collected();
    const context = contextOf(rig, seen);
    await halfMade(context, 'quickstart');
    const half = await rig.run('up', '--detach', '--quickstart');
    assert.match(half.err, /has no database\. Make one: cinnabar create quickstart/);
    const ready = { type: 'ready', firstStart: false, status: await context.api().status() };
    const signal = new AbortController().signal;
    const cache = await makeQuickstart(context, ready as never, signal);
    assert.equal(cache?.database?.properties.provisioningState, 'Succeeded', seen.text);
    assert.equal((await rig.run('connect', 'quickstart', 'PING')).out.trim(), 'PONG');
    const whole = await rig.run('up', '--detach', '--quickstart');
    assert.match(
      whole.err,
      /^Connect: cinnabar connect quickstart\. Its keys: cinnabar keys list/m,
    );

    // As a delete leaves it that was broken off between the two.
    const deleted = await context.api().deleteDatabase('quickstart');
    await waitFor(context.api(), context.output, deleted.operation, { wait: true, timeoutMs: MS });
    const left = await makeQuickstart(context, ready as never, signal);
    assert.deepEqual([left?.cluster.name, left?.database], ['quickstart', null], 'stays deleted');

    await halfMade(context, 'half');
    const [show, connect, update, other] = await Promise.all([
      rig.run('show', 'half'),
      rig.run('connect', 'half', 'PING'),
      rig.run('update', 'half', '--eviction', 'NoEviction'),
      rig.run('create', 'half', '--sku', 'Balanced_B0'),
    ]);
    assert.match(show.err, /Complete it: cinnabar create half$/m);
    for (const { code, err } of [connect, update]) {
      assert.deepEqual([code, /\(no-database\)\n.*cinnabar show half/.test(err)], [3, true], err);
    }
    assert.equal(other.code, EXIT.conflict, 'another size');
    assert.match(other.err, /Complete it: cinnabar create half$/m);
    const made = await rig.run('create', 'half');
    assert.equal(made.code, EXIT.ok, made.err);
    assert.equal((await rig.run('create', 'half')).code, EXIT.conflict);
    await rig.run('down', '--now');
    await up.ended;
  });
});
