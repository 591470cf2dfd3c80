import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { ControlError } from '../errors.ts';
import { Authority, type AuthorityOptions } from './authority.ts';
import { KeyReserve } from './key-reserve.ts';
import { exportKey } from './keys.ts';
import { KEYS_AHEAD } from './limits.ts';
import type { Notice } from './root.ts';
import { until } from './testing.ts';

const DAY = 86_400_000;
const folders: string[] = [];

after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function home(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cinnabar-tls-'));
  folders.push(folder);
  return folder;
}

async function open(options: Partial<AuthorityOptions> = {}) {
  const notices: Notice[] = [];
  const base = options.home ?? (await home());
  const authority = await Authority.open({
    onNotice: (notice) => notices.push(notice),
    ...options,
    home: base,
  });
  return { authority, notices, home: base, codes: () => notices.map((each) => each.code) };
}

async function leafOf(served: { certFile: string }): Promise<X509Certificate> {
  return new X509Certificate(await readFile(served.certFile));
}

const isError = (code: string) => (error: unknown) =>
  error instanceof ControlError && error.code === code;

describe('certificate authority', () => {
  it('makes everything private, and the same again at the next start', async () => {
    const first = await open();
    const api = await first.authority.api();
    const served = await first.authority.served('c1', 'c1.local.test');
    const engine = await first.authority.engine('c1', 'c1.local.test');
    const root = await readFile(first.authority.caFile, 'utf8');

    for (const name of await readdir(join(first.home, 'tls'), { recursive: true })) {
      const path = join(first.home, 'tls', name);
      const info = await stat(path);
      assert.equal(info.mode & 0o777, info.isDirectory() ? 0o700 : 0o600, path);
      assert.ok(!name.endsWith('.tmp'), name);
    }

    const second = await open({ home: first.home });
    assert.deepEqual(await second.authority.api(), api);
    assert.deepEqual(await second.authority.served('c1', 'c1.local.test'), served);
    assert.deepEqual(await second.authority.engine('c1', 'c1.local.test'), engine);
    assert.equal(await readFile(second.authority.caFile, 'utf8'), root);
    assert.deepEqual([...first.codes(), ...second.codes()], []);
  });

  it('covers every name that clients may use, and grows a generation when one is added', async () => {
    const { authority, home: base } = await open();
    const before = await authority.served('c1', 'c1.local.test');
    const leaf = await leafOf(before);
    for (const name of ['c1.local.test', 'localhost', hostname()]) {
      assert.ok(leaf.checkHost(name), name);
    }
    for (const address of ['127.0.0.1', '::1']) assert.ok(leaf.checkIP(address), address);
    assert.equal(leaf.checkHost('other.test'), undefined);

    const wider = await open({
      home: base,
      listen: ['192.0.2.7', '[2001:db8::5]', 'cache.internal'],
      domain: 'caches.example.org',
    });
    const after = await wider.authority.served('c1', 'c1.local.test');
    assert.equal(after.generation, before.generation + 1);
    const next = await leafOf(after);
    for (const name of ['caches.example.org', 'cache.internal']) assert.ok(next.checkHost(name));
    for (const address of ['192.0.2.7', '2001:db8::5']) assert.ok(next.checkIP(address), address);
    assert.deepEqual(await wider.authority.served('c1', 'c1.local.test'), after);
    const renamed = await wider.authority.served('c1', 'c1.local.caches.example.org');
    assert.equal(renamed.generation, after.generation + 1);
  });

  it('gives one generation to many askers at once', async () => {
    const { authority } = await open();
    const all = await Promise.all(
      Array.from({ length: 8 }, () => authority.served('c1', 'c1.local.test')),
    );
    for (const each of all) assert.deepEqual(each, all[0]);
    assert.equal(all[0]?.generation, 1);
  });

  it('renews leaves when a third of their life is left, and not before', async () => {
    const start = Date.parse('2026-05-01T00:00:00Z');
    let now = start;
    const { authority } = await open({ now: () => now });
    await authority.api();
    await authority.served('c1', 'c1.local.test');
    const engine = await authority.engine('c1', 'c1.local.test');
    now = start + 59 * DAY;
    assert.deepEqual(await authority.renewDue(now), []);
    now = start + 61 * DAY;
    const changed = await authority.renewDue(now);
    assert.deepEqual(changed.map((each) => `${each.clusterId ?? '-'} ${each.kind}`).sort(), [
      '- api',
      'c1 engine',
      'c1 served',
    ]);
    assert.equal((await authority.engine('c1', 'c1.local.test')).generation, engine.generation + 1);
    assert.deepEqual(await authority.renewDue(now), []);
  });

  it('renews the others when one cannot be, and says which', async () => {
    const start = Date.parse('2026-05-01T00:00:00Z');
    const { authority, notices, home: base } = await open({ now: () => start });
    for (const id of ['c1', 'c2']) await authority.served(id, `${id}.local.test`);
    await writeFile(join(base, 'tls', 'caches', 'not a cache'), '');
    await chmod(join(base, 'tls', 'caches', 'c1', 'served', '1.key.pem'), 0o644);
    const changed = await authority.renewDue(start + 80 * DAY);
    assert.deepEqual(changed, [{ clusterId: 'c2', kind: 'served' }]);
    assert.deepEqual(
      notices.map((each) => [each.code, each.clusterId]),
      [['certificate-not-renewed', 'c1']],
    );
  });

  it('is not disturbed by a next generation that a crash left without its end', async () => {
    const first = await open();
    const before = await first.authority.served('c1', 'c1.local.test');
    const folder = join(first.home, 'tls', 'caches', 'c1', 'served');
    await writeFile(join(folder, '2.key.pem'), 'the key of nobody', { mode: 0o600 });
    const again = await open({ home: first.home });
    assert.deepEqual(await again.authority.served('c1', 'c1.local.test'), before);
    const next = await again.authority.served('c1', 'c1.other.test');
    assert.equal(next.generation, 3);
    assert.deepEqual(again.codes(), []);
  });

  it('keeps trust over clocks that jump, as root and internal CA keep their keys', async () => {
    const start = Date.parse('2026-05-01T00:00:00Z');
    let now = start;
    const { authority, home: base } = await open({ now: () => now });
    const oldRoot = new X509Certificate(await readFile(authority.caFile));
    await authority.served('c1', 'c1.local.test');
    await authority.engine('c1', 'c1.local.test');
    for (const jump of [+9 * 365 * DAY, -3 * 365 * DAY, 0]) {
      now = start + jump;
      const reopened = await open({ home: base, now: () => now });
      await reopened.authority.renewDue(now);
      const served = await leafOf(await reopened.authority.served('c1', 'c1.local.test'));
      const engine = await leafOf(await reopened.authority.engine('c1', 'c1.local.test'));
      const root = new X509Certificate(await readFile(reopened.authority.caFile));
      assert.ok(served.verify(oldRoot.publicKey), 'a client with the first ca.pem still verifies');
      for (const each of [served, engine, root]) {
        assert.ok(each.validFromDate.getTime() <= now && now < each.validToDate.getTime());
      }
      assert.ok(served.validToDate.getTime() <= root.validToDate.getTime());
    }
  });

  it('heals what is lost or damaged and says so, with a generation that never goes back', async () => {
    const first = await open();
    const served = await first.authority.served('c1', 'c1.local.test');
    await rm(served.keyFile);
    const second = await open({ home: first.home });
    const healed = await second.authority.served('c1', 'c1.local.test');
    assert.equal(healed.generation, served.generation + 1);
    assert.deepEqual(second.codes(), ['certificate-restored']);

    await writeFile(healed.certFile, 'rubbish');
    const third = await second.authority.served('c1', 'c1.local.test');
    assert.equal(third.generation, healed.generation + 1);

    await rm(join(first.home, 'tls', 'caches', 'c1', 'served', 'current.json'));
    const fourth = await second.authority.served('c1', 'c1.local.test');
    assert.equal(fourth.generation, third.generation + 1);

    const other = await second.authority.served('c2', 'c2.local.test');
    await writeFile(fourth.keyFile, await readFile(other.keyFile));
    const fifth = await second.authority.served('c1', 'c1.local.test');
    assert.equal(fifth.generation, fourth.generation + 1);
    assert.ok(
      (await leafOf(fifth)).checkPrivateKey(createPrivateKey(await readFile(fifth.keyFile))),
    );

    const files = await readdir(join(first.home, 'tls', 'caches', 'c1', 'served'));
    assert.ok(files.length <= 5, `old generations are removed: ${files.join(' ')}`);
  });

  it('makes a lost root certificate again with the same key', async () => {
    const first = await open();
    const before = new X509Certificate(await readFile(first.authority.caFile));
    const served = await first.authority.served('c1', 'c1.local.test');
    for (const harm of [
      () => rm(first.authority.caFile),
      () => writeFile(first.authority.caFile, 'x'),
    ]) {
      await harm();
      const again = await open({ home: first.home });
      const after = new X509Certificate(await readFile(again.authority.caFile));
      assert.equal(after.subject, before.subject);
      assert.ok(after.verify(before.publicKey));
      assert.deepEqual(await again.authority.served('c1', 'c1.local.test'), served);
    }
  });

  it('never makes a new root in silence', async () => {
    const first = await open();
    await first.authority.api();
    const keyFile = join(first.home, 'tls', 'ca.key.pem');
    const key = await readFile(keyFile);
    const other = await open();

    await rm(keyFile);
    await assert.rejects(open({ home: first.home }), isError('RootKeyMissing'));
    await writeFile(keyFile, 'rubbish', { mode: 0o600 });
    await assert.rejects(open({ home: first.home }), isError('RootKeyDamaged'));
    await writeFile(keyFile, await readFile(join(other.home, 'tls', 'ca.key.pem')));
    await assert.rejects(open({ home: first.home }), isError('RootKeyMismatch'));
    await writeFile(keyFile, key);
    await chmod(keyFile, 0o644);
    await assert.rejects(open({ home: first.home }), isError('FileModeTooOpen'));
    await chmod(keyFile, 0o600);
    await open({ home: first.home });

    // Nothing is left of it: that is a first start only where no cache is.
    const folder = join(first.home, 'tls');
    await rm(folder, { recursive: true });
    await assert.rejects(open({ home: first.home, trusted: true }), isError('RootKeyMissing'));
    await assert.rejects(stat(folder), { code: 'ENOENT' });
    await mkdir(folder);
    const anew = await open({ home: first.home, trusted: true });
    assert.deepEqual(anew.codes(), ['root-replaced']);
    await rm(folder, { recursive: true });
    await assert.rejects(anew.authority.renewDue(Date.now()), isError('RootKeyMissing'));
    assert.deepEqual((await open({ home: first.home })).codes(), []);
  });

  it('replaces a lost internal CA and goes on to trust the former one', async () => {
    const first = await open();
    const before = await first.authority.engine('c1', 'c1.local.test');
    const formerCa = new X509Certificate(await readFile(before.caFile));
    await rm(join(first.home, 'tls', 'caches', 'c1', 'ca', 'ca.key.pem'));
    const after = await first.authority.engine('c1', 'c1.local.test');
    assert.equal(after.generation, before.generation + 1);
    assert.deepEqual(first.codes(), ['engine-ca-replaced']);
    const trusted = await readFile(after.caFile, 'utf8');
    assert.ok(trusted.includes(formerCa.toString().trim()));
    assert.ok((await leafOf(after)).verify(new X509Certificate(trusted).publicKey));
  });

  it('issues from another root when another one was restored from a backup', async () => {
    const first = await open();
    const served = await first.authority.served('c1', 'c1.local.test');
    const engine = await first.authority.engine('c1', 'c1.local.test');
    const other = await open();
    for (const name of ['ca.pem', 'ca.key.pem']) {
      await writeFile(join(first.home, 'tls', name), await readFile(join(other.home, 'tls', name)));
    }
    const again = await open({ home: first.home });
    const next = await again.authority.served('c1', 'c1.local.test');
    assert.equal(next.generation, served.generation + 1);
    assert.ok(
      (await leafOf(next)).verify(
        new X509Certificate(await readFile(other.authority.caFile)).publicKey,
      ),
    );
    assert.equal(
      (await again.authority.engine('c1', 'c1.local.test')).generation,
      engine.generation + 1,
    );
  });

  it('removes what a cache had, and starts its successor afresh', async () => {
    const { authority, home: base } = await open();
    await authority.served('c1', 'c1.local.test');
    await authority.engine('c1', 'c1.local.test');
    await authority.remove('c1');
    await authority.remove('c1');
    assert.deepEqual(await readdir(join(base, 'tls', 'caches')), []);
    assert.equal((await authority.served('c1', 'c1.local.test')).generation, 1);
    await assert.rejects(authority.remove('../api'));
  });

  it('takes keys that were made in advance', async () => {
    const reserve = new KeyReserve();
    reserve.fill();
    await until('two keys are ready', () => reserve.ready === KEYS_AHEAD);
    const first = await reserve.take();
    assert.equal(reserve.ready, KEYS_AHEAD - 1, 'it was there already');
    const second = await reserve.take();
    assert.notEqual(await exportKey(first), await exportKey(second));
  });

  it('removes what a crash left half written', async () => {
    const { authority, home: base } = await open();
    await authority.served('c1', 'c1.local.test');
    const half = join(base, 'tls', 'caches', 'c1', 'served', '.2.key.pem.0123456789ab.tmp');
    await writeFile(half, 'half a key', { mode: 0o600 });
    await authority.served('c1', 'c1.other.test');
    await assert.rejects(stat(half));
  });
});
