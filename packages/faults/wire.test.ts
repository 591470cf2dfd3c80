/** In a network of its own, where a machine lets us make one; elsewhere the error names what is missing. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { FaultError } from './errors.ts';
import { Faults } from './faults.ts';
import { exitOf } from './processes.ts';
import { faultTool } from './tools.ts';
import { cutPort } from './wire.ts';

const ALONE = ['--net', ...(process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'])];
const UP = 'ip link set lo up';

function network(): boolean {
  return spawnSync('unshare', [...ALONE, 'sh', '-c', UP]).status === 0;
}

/** Prints one line of JSON; runs in a network of its own, so no port of this machine is touched. */
const STORY = `
  import { connect, createServer } from 'node:net';
  import { Faults } from ${JSON.stringify(path.join(import.meta.dirname, 'faults.ts'))};
  import { cutPort, resetPort } from ${JSON.stringify(path.join(import.meta.dirname, 'wire.ts'))};
  import { until } from ${JSON.stringify(path.join(import.meta.dirname, 'processes.ts'))};
  const nft = JSON.parse(process.argv[1]);
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (data) => { seen.server += data; socket.write(data); });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const port = server.address().port;
  const seen = { server: '', client: '', error: '' };
  const client = connect(port, '127.0.0.1');
  client.on('data', (data) => { seen.client += data; });
  client.on('error', (error) => { seen.error = error.code; });
  const faults = new Faults();
  const story = {};
  client.write('a');
  await until('the first echo', () => seen.client === 'a');
  const down = await cutPort(faults, port, 'down', 60000, nft);
  client.write('b');
  await until('it arrives', () => seen.server === 'ab');
  story.whileDownIsCut = seen.client;
  await down.end();
  await until('the answer came late', () => seen.client === 'ab');
  const up = await cutPort(faults, port, 'up', 60000, nft);
  await new Promise((resolve) => client.write('c', resolve));
  story.whileUpIsCut = seen.server;
  await up.end();
  await until('it arrives late', () => seen.client === 'abc');
  await resetPort(port);
  await until('the connection is reset', () => seen.error !== '');
  story.error = seen.error;
  await faults.close();
  server.close();
  process.stdout.write(JSON.stringify(story));
`;

test('a port is cut in one direction, loses nothing, and its connections are reset', async () => {
  if (!network()) {
    await assert.rejects(refusedHere(), FaultError);
    return;
  }
  const node = process.execPath;
  const script = `${UP} && exec "$0" --input-type=module-typescript -e "$1" "$2"`;
  // Fetched before: in there is no way out.
  const nft = JSON.stringify(await faultTool('nft'));
  const child = spawn('unshare', [...ALONE, 'sh', '-c', script, node, STORY, nft], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (data: Buffer) => {
    said += data.toString();
  });
  assert.equal(await exitOf(child), 0);
  const { error, ...flow } = JSON.parse(said);
  assert.deepEqual(flow, { whileDownIsCut: 'a', whileUpIsCut: 'ab' });
  // Kernels differ in the name of it.
  assert.ok(['ECONNABORTED', 'ECONNRESET'].includes(error), error);
});

/** Where no network of one's own can be made, rules cannot be set either. */
async function refusedHere(): Promise<void> {
  const faults = new Faults();
  try {
    await (await cutPort(faults, 1, 'up', 1, await faultTool('nft'))).end();
  } finally {
    await faults.close();
  }
}
