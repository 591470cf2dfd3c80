import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Policy } from '../../endpoint/control-protocol.ts';
import {
  engineCacheDir,
  openLink,
  type ProvisionedEngine,
  provisionEngine,
} from '../../engine/index.ts';
import { RespError } from '../../resp/index.ts';
import { OVERRIDES } from '../../resp/table/index.ts';
import { Authority } from '../tls/authority.ts';
import {
  DEADLINE_MS,
  newAddress,
  type RunningEngine,
  startEngine,
  testFolder,
} from '../tls/testing.ts';
import { clientRules } from './acl.ts';
import { newInternalSecrets } from './internal.ts';
import { keyHashes, newAccessKeys } from './keys.ts';
import { type DatabaseUsers, endpointUsers, engineUsers } from './users.ts';

type When = 'always' | 'clustered' | 'strict' | 'strict-single-address';

interface Expectation {
  readonly refused: Readonly<Record<string, { readonly when: When; readonly reason: string }>>;
  readonly allowed: readonly string[];
}

const EXPECTED: Expectation = JSON.parse(
  readFileSync(new URL('./acl-expected.json', import.meta.url), 'utf8'),
);

const POLICIES: readonly Policy[] = ['OSSCluster', 'EnterpriseCluster', 'NoCluster'];

/** Whether a variant refuses what the table marks with `when`. */
function refuses(when: When, policy: Policy, strict: boolean): boolean {
  switch (when) {
    case 'always':
      return true;
    case 'clustered':
      return policy !== 'NoCluster' || strict;
    case 'strict':
      return strict;
    case 'strict-single-address':
      return strict && policy !== 'OSSCluster';
  }
}

interface Command {
  readonly name: string;
  readonly arity: number;
  readonly categories: readonly string[];
}

/** Everything that can be run: commands without subcommands, and subcommands. */
async function commandTable(engine: RunningEngine): Promise<Command[]> {
  const reply = await engine.link.command(['COMMAND'], DEADLINE_MS);
  const rows = reply as unknown[][];
  const read = (row: readonly unknown[]): Command => ({
    name: String(row[0]).toLowerCase(),
    arity: Math.abs(Number(row[1])),
    categories: (row[6] as unknown[]).map(String),
  });
  return rows.flatMap((row) => {
    const subcommands = (row[9] ?? []) as unknown[][];
    return subcommands.length === 0 ? [read(row)] : subcommands.map(read);
  });
}

/** Asks the engine, command by command, what a user of these rules may run. */
async function refusedBy(
  engine: RunningEngine,
  rules: readonly string[],
  table: readonly Command[],
): Promise<Set<string>> {
  const user = { name: 'probe', enabled: true, passwordHashes: [], rules };
  await engine.link.setUser(user, DEADLINE_MS);
  const refused = new Set<string>();
  for (const { name, arity } of table) {
    const words = name.split('|');
    // DRYRUN wants as many arguments as the command; '1' is a key, a number and a count of keys.
    while (words.length < arity) words.push('1');
    const verdict = await engine.link
      .command(['ACL', 'DRYRUN', 'probe', ...words], DEADLINE_MS)
      .then(String, String);
    if (verdict === 'OK') continue;
    assert.match(verdict, /has no permissions to run the/, `${name}: ${verdict}`);
    refused.add(name);
  }
  return refused;
}

async function start(
  context: TestContext,
  engine: ProvisionedEngine,
  users: (database: DatabaseUsers) => DatabaseUsers = (database) => database,
) {
  const folder = await testFolder(context);
  const authority = await Authority.open({ home: folder });
  const tls = await authority.engine('c1', 'localhost');
  const secrets = newInternalSecrets();
  const keys = newAccessKeys();
  const database = users({
    policy: 'NoCluster',
    accessKeys: 'Enabled',
    azureStrict: false,
    guard: [],
    keyHashes: keyHashes(keys),
    secrets,
  });
  const running = await startEngine(context, {
    folder,
    engine,
    address: await newAddress(),
    role: { kind: 'alone' },
    tls,
    users: engineUsers(database, engine.capabilities.commands),
    passwords: secrets,
  });
  return { running, keys, database, engine };
}

/** Logs in on a connection of its own and runs one command: what a client would see. */
async function as(
  running: RunningEngine,
  user: string,
  password: string,
  command: readonly string[],
): Promise<string> {
  const link = await openLink(running.launch.socket, { user, password }, DEADLINE_MS).catch(
    (error: unknown) => String(error),
  );
  if (typeof link === 'string') return link;
  try {
    const reply = await link.command(command, DEADLINE_MS).catch((error: unknown) => error);
    return reply instanceof RespError ? reply.message : String(reply);
  } finally {
    link.close();
  }
}

describe('ACL of clients', () => {
  it('refuses exactly what the table says, for every policy, on the running engine', async (t) => {
    const engine = await provisionEngine();
    const { running } = await start(t, engine);
    const table = await commandTable(running);
    const known = new Set([...Object.keys(EXPECTED.refused), ...EXPECTED.allowed]);
    const unheard = table.filter((command) => !known.has(command.name));
    for (const policy of POLICIES) {
      for (const strict of [false, true]) {
        const label = `${policy}${strict ? ', azureStrict' : ''}`;
        const rules = clientRules(policy, strict, engine.capabilities.commands);
        const refused = await refusedBy(running, rules, table);
        for (const { name } of table) {
          if (!known.has(name)) continue;
          const entry = EXPECTED.refused[name];
          const wanted = entry !== undefined && refuses(entry.when, policy, strict);
          assert.equal(refused.has(name), wanted, `${name} with ${label}`);
        }
        // A newer engine has commands that the table has not: then its own categories decide.
        for (const { name, categories } of unheard) {
          const guarded = categories.some((each) => each === '@admin' || each === '@dangerous');
          if (guarded) assert.ok(refused.has(name), `${name} with ${label}`);
        }
      }
    }
    const { name, version } = engine.build;
    console.log(
      `${name} ${version}: ${table.length} commands, ${unheard.length} not in the table` +
        (unheard.length === 0 ? '' : `: ${unheard.map((each) => each.name).join(' ')}`),
    );
  });

  it('gives rules that older and other engines take, and that refuse there too', async (t) => {
    for (const [product, suite] of [
      ['valkey', 'trixie'],
      ['redis', 'trixie'],
      ['redis', 'bookworm'],
    ] as const) {
      const bundle = `${product}-server+${product}-tools@${suite}`;
      if (!existsSync(join(engineCacheDir(), bundle, 'current.json'))) {
        console.log(`absent, so not tried: ${bundle}`);
        continue;
      }
      const engine = await provisionEngine({ product, suite });
      const { running } = await start(t, engine);
      const table = await commandTable(running);
      for (const policy of POLICIES) {
        const rules = clientRules(policy, false, engine.capabilities.commands);
        const refused = await refusedBy(running, rules, table);
        for (const { name } of table) {
          const entry = EXPECTED.refused[name];
          if (entry === undefined || !refuses(entry.when, policy, false)) continue;
          assert.ok(refused.has(name), `${name} on ${product} ${engine.build.version}`);
        }
        for (const name of ['get', 'set', 'info', 'role', 'cluster|shards', 'memory|usage']) {
          assert.ok(!refused.has(name), `${name} on ${product} ${engine.build.version}`);
        }
      }
      console.log(`${product} ${engine.build.version}: ${table.length} commands`);
    }
  });

  it('refuses nothing that the endpoint sends on: who may not is told that there is no such command', () => {
    const always = Object.entries(EXPECTED.refused).filter(([, { when }]) => when === 'always');
    const sent = always.filter(([name]) => {
      const fate = OVERRIDES.get(name)?.fate.kind;
      return fate !== 'refused' && fate !== 'local';
    });
    assert.deepEqual(sent, []);
  });

  it('has a reason for each refusal, and names nothing twice', () => {
    for (const [name, { reason }] of Object.entries(EXPECTED.refused)) {
      assert.ok(reason.length > 10, name);
      assert.ok(!EXPECTED.allowed.includes(name), name);
    }
  });

  it('never shows a secret, and lets both keys in where clients are direct', async (t) => {
    const engine = await provisionEngine();
    const { running, keys, database } = await start(t, engine, (each) => ({
      ...each,
      policy: 'OSSCluster',
    }));
    for (const key of [keys.primaryKey, keys.secondaryKey]) {
      assert.equal(await as(running, 'default', key, ['SET', 'a', '1']), 'OK');
    }
    assert.match(await as(running, 'default', 'wrong', ['PING']), /WRONGPASS/);
    assert.match(await as(running, 'default', database.secrets.admin, ['PING']), /WRONGPASS/);
    for (const command of [
      ['CONFIG', 'GET', 'primaryauth'],
      ['CONFIG', 'GET', '*'],
      ['ACL', 'LIST'],
      ['CLIENT', 'KILL', 'TYPE', 'normal'],
      ['SELECT', '0'],
      ['MONITOR'],
      ['SHUTDOWN', 'NOSAVE'],
    ]) {
      const verdict = await as(running, 'default', keys.primaryKey, command);
      assert.match(verdict, /NOPERM/, command.join(' '));
    }
    const script = ['EVAL', "return redis.call('CONFIG','GET','primaryauth')", '0'];
    assert.match(
      await as(running, 'default', keys.primaryKey, script),
      /not allowed|NOPERM|permissions/,
    );
    assert.match(await as(running, 'default', keys.primaryKey, ['ROLE']), /master/);
  });

  it('opens no engine to a key where the endpoint checks keys, only to its twin', async (t) => {
    const engine = await provisionEngine();
    for (const policy of ['NoCluster', 'EnterpriseCluster'] as const) {
      const { running, keys, database } = await start(t, engine, (each) => ({ ...each, policy }));
      const { twin, secretHashes } = endpointUsers(database)[0] ?? assert.fail('no user');
      assert.deepEqual(secretHashes, keyHashes(keys));
      assert.equal(await as(running, twin.name, twin.password, ['SET', 'a', '1']), 'OK');
      for (const password of [keys.primaryKey, keys.secondaryKey, '']) {
        assert.match(await as(running, 'default', password, ['PING']), /WRONGPASS/);
        assert.match(await as(running, twin.name, password, ['PING']), /WRONGPASS/);
      }
    }
  });

  it('gives the twin the client’s rights, and nobody a login when access keys are disabled', async (t) => {
    const engine = await provisionEngine();
    const { running, keys, database } = await start(t, engine, (each) => ({
      ...each,
      policy: 'OSSCluster',
    }));
    const { twin, secretHashes } = endpointUsers(database)[0] ?? assert.fail('no user');
    assert.deepEqual(secretHashes, keyHashes(keys));
    for (const [user, password] of [
      ['default', keys.primaryKey],
      [twin.name, twin.password],
    ] as const) {
      assert.equal(await as(running, user, password, ['SET', 'a', '1']), 'OK');
      assert.match(await as(running, user, password, ['CONFIG', 'GET', '*']), /NOPERM/);
    }
    const off = { ...database, accessKeys: 'Disabled' } as const;
    assert.deepEqual(endpointUsers(off)[0]?.secretHashes, []);
    for (const user of engineUsers(off, engine.capabilities.commands)) {
      await running.link.setUser(user, DEADLINE_MS);
    }
    for (const password of [keys.primaryKey, keys.secondaryKey, '']) {
      assert.match(await as(running, 'default', password, ['PING']), /WRONGPASS/);
    }
    const verdict = running.link.command(['ACL', 'DRYRUN', 'default', 'GET', 'a'], DEADLINE_MS);
    assert.match(String(await verdict.catch(String)), /has no permissions/);
  });
});
