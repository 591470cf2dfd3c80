import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { ControlError } from '../errors.ts';
import { newInternalSecrets } from './internal.ts';
import {
  keyHashes,
  matchSecret,
  newAccessKey,
  newAccessKeys,
  regenerated,
  secretHash,
} from './keys.ts';
import { createPrivate, privateFolder, readPrivate, writePrivate } from './private-file.ts';
import { openSecretBox, SECRET_KEY_FILE, SecretBox } from './secret-box.ts';
import { openToken, readToken, tokenFile } from './token.ts';

const folders: string[] = [];
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function home(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cinnabar-auth-'));
  folders.push(folder);
  return folder;
}

const isError = (code: string) => (error: unknown) =>
  error instanceof ControlError && error.code === code;

describe('access keys', () => {
  it('look like Azure’s and are all different', () => {
    const keys = Array.from({ length: 100 }, newAccessKey);
    for (const key of keys) assert.match(key, /^[A-Za-z0-9+/]{43}=$/);
    assert.equal(new Set(keys).size, keys.length);
  });

  it('are replaced one at a time', () => {
    const keys = newAccessKeys();
    const next = regenerated(keys, 'Primary');
    assert.notEqual(next.primaryKey, keys.primaryKey);
    assert.equal(next.secondaryKey, keys.secondaryKey);
    assert.equal(regenerated(keys, 'Secondary').primaryKey, keys.primaryKey);
  });

  it('match their own hash and nothing else', () => {
    const keys = newAccessKeys();
    const hashes = keyHashes(keys);
    assert.equal(matchSecret(keys.primaryKey, hashes), 0);
    assert.equal(matchSecret(keys.secondaryKey, hashes), 1);
    assert.equal(matchSecret(keys.primaryKey, []), -1);
    assert.equal(matchSecret(keys.primaryKey, ['', 'zz', secretHash('x')]), -1);
    assert.equal(matchSecret('x'.repeat(5000), [secretHash('x'.repeat(5000))]), -1);
    fc.assert(fc.property(fc.string(), (text) => matchSecret(text, hashes) === -1));
  });

  it('internal passwords need no quoting in an engine’s configuration', () => {
    const secrets = newInternalSecrets();
    for (const each of Object.values(secrets)) assert.match(each, /^[A-Za-z0-9_-]{43}$/);
    assert.equal(new Set(Object.values(secrets)).size, 3);
  });
});

describe('sealed secrets', () => {
  it('open for their row and key, and for no other', () => {
    const box = new SecretBox(randomBytes(32));
    const other = new SecretBox(randomBytes(32));
    fc.assert(
      fc.property(fc.string(), fc.string({ minLength: 1 }), (secret, row) => {
        const sealed = box.seal(secret, row);
        assert.equal(box.open(sealed, row), secret);
        assert.throws(() => box.open(sealed, `${row}2`), isError('SecretDamaged'));
        assert.throws(() => other.open(sealed, row), isError('SecretKeyWrong'));
        assert.notEqual(box.seal(secret, row), sealed, 'each sealing is different');
      }),
      { numRuns: 50 },
    );
  });

  it('say of any changed byte that it was changed', () => {
    const box = new SecretBox(randomBytes(32));
    const sealed = box.seal('a secret', 'row');
    for (let at = 0; at < sealed.length; at += 1) {
      const changed = `${sealed.slice(0, at)}${sealed[at] === 'A' ? 'B' : 'A'}${sealed.slice(at + 1)}`;
      try {
        // The last character of base64url may carry bits that mean nothing.
        assert.equal(box.open(changed, 'row'), 'a secret');
        assert.equal(at, sealed.length - 1);
      } catch (error) {
        assert.ok(error instanceof ControlError, String(error));
        assert.match(error.code, /^Secret(Format|KeyWrong|Damaged)$/);
        assert.ok(!error.message.includes('a secret'));
      }
    }
    for (const text of ['', 'v1', 'v2.00000000.AAAAAAAAAAAAAAAA.AAAA', 'v1.00000000..']) {
      assert.throws(() => box.open(text, 'row'), isError('SecretFormat'));
    }
    const short = `${sealed.split('.').slice(0, 3).join('.')}.AAAA`;
    assert.throws(() => box.open(short, 'row'), isError('SecretDamaged'));
  });

  it('have a key file that is made once, private, and never replaced', async () => {
    const folder = await home();
    await assert.rejects(openSecretBox(folder, { mayCreate: false }), isError('SecretKeyMissing'));
    const boxes = await Promise.all(
      Array.from({ length: 5 }, () => openSecretBox(folder, { mayCreate: true })),
    );
    const sealed = boxes[0]?.seal('x', 'row') ?? '';
    for (const box of boxes) assert.equal(box.open(sealed, 'row'), 'x');
    const path = join(folder, SECRET_KEY_FILE);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(folder), [SECRET_KEY_FILE]);

    await chmod(path, 0o640);
    await assert.rejects(openSecretBox(folder, { mayCreate: true }), isError('FileModeTooOpen'));
    await chmod(path, 0o600);
    await writeFile(path, 'cinnabar-secret-key-v1 short\n');
    await assert.rejects(openSecretBox(folder, { mayCreate: true }), isError('SecretKeyDamaged'));
  });
});

describe('the API token', () => {
  it('is made once, also by two starts at once, and read by the command line', async () => {
    const folder = await home();
    await assert.rejects(readToken(folder), isError('TokenMissing'));
    const tokens = await Promise.all(Array.from({ length: 5 }, () => openToken(folder)));
    assert.equal(new Set(tokens).size, 1);
    assert.equal(await readToken(folder), tokens[0]);
    assert.equal((await stat(tokenFile(folder))).mode & 0o777, 0o600);
  });

  it('is not taken from a file that others could read, own or swap', async () => {
    const folder = await home();
    await openToken(folder);
    const path = tokenFile(folder);
    await chmod(path, 0o604);
    await assert.rejects(readToken(folder), isError('FileModeTooOpen'));
    await rm(path);
    await writeFile(join(folder, 'elsewhere'), 'x', { mode: 0o600 });
    await symlink(join(folder, 'elsewhere'), path);
    await assert.rejects(readToken(folder), isError('FileNotOurs'));
    await rm(path);
    await writeFile(path, 'x', { mode: 0o600 });
    await assert.rejects(readToken(folder), isError('TokenDamaged'));
    if (process.getuid?.() === 0) {
      const { chown } = await import('node:fs/promises');
      await chown(path, 12345, 12345);
      await assert.rejects(readToken(folder), isError('FileNotOurs'));
    }
  });
});

describe('private files', () => {
  it('are replaced whole and leave nothing behind', async () => {
    const folder = await home();
    const path = join(folder, 'file');
    assert.equal(await readPrivate(path), null);
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => writePrivate(path, `${i}`.repeat(1000))),
    );
    assert.match(await readFile(path, 'utf8'), /^(\d{1,2})\1{999}$/);
    assert.equal(await createPrivate(path, 'other'), false);
    assert.deepEqual(await readdir(folder), ['file']);
    await writeFile(path, Buffer.alloc(2 * 1024 * 1024));
    await assert.rejects(readPrivate(path), isError('FileTooLarge'));
    await assert.rejects(readPrivate(folder), isError('FileNotOurs'));
  });

  it('are in a folder of which the owner has every right, whatever it was', async () => {
    const folder = await home();
    for (const mode of [0o000, 0o500, 0o755]) {
      await chmod(folder, mode);
      await privateFolder(folder);
      assert.equal((await stat(folder)).mode & 0o777, 0o700);
    }
  });
});
