/** A command that waits for an operation while the control process goes, and comes back or does not. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { CONTROL_FILE, STOP_FILE, TOKEN_FILE } from '../../control/boot-protocol.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { Output } from '../output/output.ts';
import { Rig, Started, until } from '../testing/rig.ts';
import { ApiClient } from './client.ts';
import { waitFor } from './operations.ts';

const DEADLINE_MS = 30_000;
/** Of no process: the kernel's greatest is below. */
const PID = 9_999_999;

class Place {
  readonly rig = new Rig();
  readonly home = this.rig.home;
  asked = 0;
  status = 'Running';
  steps: readonly object[] = [];
  #server: Server | null = null;

  constructor(t: TestContext) {
    mkdirSync(this.home);
    writeFileSync(path.join(this.home, TOKEN_FILE), 'token');
    t.after(async () => {
      await this.end();
      await this.rig.clean();
    });
  }

  async begin(): Promise<void> {
    const server = createServer((_request, response) => {
      this.asked++;
      const { status, steps } = this;
      const resourceId = '/providers/Microsoft.Cache/redisEnterprise/sessions';
      const about = { kind: 'UpdateCluster', resourceId, cluster: 'sessions' };
      const record = { id: 'o', ...about, startedAt: 1, status, steps };
      response.end(JSON.stringify(record));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
    const http = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.#write(CONTROL_FILE, { pid: PID, http, https: null, subscriptionId: 's' });
  }

  async end(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  async stop(held: readonly string[]): Promise<void> {
    rmSync(path.join(this.home, CONTROL_FILE));
    await this.end();
    this.#write(STOP_FILE, { pid: PID, notes: [], held });
  }

  #write(name: string, content: object): void {
    writeFileSync(path.join(this.home, name), JSON.stringify(content));
  }

  waits(output = new Output(process.stdout, process.stderr, process.env, true)) {
    const options = { wait: true, timeoutMs: DEADLINE_MS };
    return waitFor(ApiClient.forHome(this.home), output, 'o', options);
  }

  async isAsked(): Promise<void> {
    const before = this.asked;
    await until(
      () => this.asked > before,
      () => 'nobody asks',
    );
  }
}

test('an orderly stop ends the wait, and says what to do', async (t) => {
  const place = new Place(t);
  await place.begin();
  const waiting = assert.rejects(place.waits(), (error) => {
    assert.ok(error instanceof CliError);
    assert.deepEqual([error.exit, error.code], ['notRunning', 'not-running']);
    assert.match(`${error.message} ${error.remedy}`, /was stopped .*cinnabar up.*operations/);
    return true;
  });
  await place.isAsked();
  const began = Date.now();
  await place.stop([]);
  await waiting;
  assert.ok(Date.now() - began < DEADLINE_MS, 'long before it would have given up');
});

test('Ctrl-C ends the wait, and says that the operation goes on', async (t) => {
  const place = new Place(t);
  await place.begin();
  const command = new Started(place.rig, ['operations', 'show', 'o']);
  t.after(() => command.child.kill('SIGKILL'));
  await place.isAsked();
  await place.isAsked();
  assert.equal(await command.stop('SIGINT'), EXIT.interrupted, command.err);
  assert.match(command.err, /it goes on\. .*\n {2}Follow it: cinnabar operations show o\n$/);
});

for (const [what, go] of [
  ['killed', (place: Place) => place.end()],
  ['whose stop was refused', (place: Place) => place.stop(['sessions was not saved.'])],
] as const) {
  test(`a control process ${what} is waited for`, async (t) => {
    const place = new Place(t);
    await place.begin();
    const waiting = place.waits();
    await place.isAsked();
    await go(place);
    place.status = 'Succeeded';
    await place.begin();
    assert.equal((await waiting)?.status, 'Succeeded');
  });
}

test('of the steps that are not done the first is shown, not one that waits for it', async (t) => {
  const step = { startedAt: 1, endedAt: null, state: 'running' };
  const moves = { ...step, name: 'Move slots', detail: 'about 9 s left' };
  const removal = { name: 'Remove empty shards', detail: '0 left', state: 'waiting' };
  const place = new Place(t);
  place.steps = [moves, removal];
  await place.begin();
  let drawn = '';
  const write = (text: string) => {
    drawn += text;
  };
  const terminal = { isTTY: true, columns: 80, write };
  const waiting = place.waits(new Output(terminal, terminal, { TERM: 'xterm' }, false));
  await place.isAsked();
  await place.isAsked();
  const ended = { state: 'done', endedAt: 2, detail: '' };
  place.steps = place.steps.map((each) => ({ ...each, ...ended }));
  place.status = 'Succeeded';
  await waiting;
  assert.match(drawn, /Move slots +about 9 s left/);
  assert.doesNotMatch(drawn, /0 left/);
  assert.match(drawn, /Remove empty shards/);
});

test('what an operation failed of is said by showing it, and not to show it', async (t) => {
  const place = new Place(t);
  place.status = 'Failed';
  await place.begin();
  const { code, err } = await place.rig.run('operations', 'show', 'o');
  assert.equal(code, EXIT.operationFailed, err);
  assert.match(err, /cinnabar events sessions\n$/);
  assert.doesNotMatch(err, /operations show/);
});
