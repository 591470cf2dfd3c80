import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { ControlError } from '../errors.ts';
import { decidePort } from './decide-port.ts';
import { AUTOMATIC_PORTS } from './limits.ts';
import { kernelPorts, parseListeners } from './ports.ts';

const TABLE = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2710 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0
   1: 0100007F:2711 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0 20 4 30 10 -1
   2: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 99 1 0
`;

test('only sockets that listen are read, of both tables', () => {
  assert.deepEqual(parseListeners(TABLE), [
    [10_000, '4711'],
    [80, '99'],
  ]);
  assert.deepEqual(parseListeners(''), []);
});

test('a listener of this process is seen and named', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  assert.ok(kernelPorts.listening().has(address.port));
  assert.match(kernelPorts.describe(address.port), new RegExp(`^process ${process.pid} `));
  await new Promise((resolve) => server.close(resolve));
  assert.ok(!kernelPorts.listening().has(address.port));
});

const situation = (
  claimed: readonly number[],
  listening: readonly number[],
  firstPort = 10_000,
) => ({
  claims: claimed.map((port) => ({ port, owner: `db-${port}`, purpose: 'endpoint' as const })),
  listening: new Set(listening),
  firstPort,
  describe: (port: number) => `stranger of ${port}`,
  ownerName: (owner: string) => `owner ${owner}`,
});

test('an answer is always free, and always the lowest', () => {
  const ports = fc.array(fc.integer({ min: 10_000, max: 10_020 }));
  fc.assert(
    fc.property(ports, ports, (claimed, listening) => {
      const port = decidePort(null, situation(claimed, listening));
      const taken = new Set([...claimed, ...listening]);
      assert.ok(!taken.has(port));
      for (let lower = 10_000; lower < port; lower++) assert.ok(taken.has(lower));
    }),
  );
});

test('a wish is granted exactly, or refused with who has it and what is free', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -1, max: 70_000 }),
      fc.boolean(),
      fc.boolean(),
      (wish, ours, theirs) => {
        const asked = situation(ours ? [wish] : [], theirs ? [wish] : []);
        const possible = wish >= 1_024 && wish <= 65_535;
        if (possible && !ours && !theirs) return assert.equal(decidePort(wish, asked), wish);
        try {
          decidePort(wish, asked);
        } catch (error) {
          assert.ok(error instanceof ControlError);
          assert.equal(error.code, possible ? 'PortInUse' : 'InvalidParameter');
          assert.equal(error.target, 'properties.port');
          if (possible) assert.match(error.message, ours ? /owner db-/ : /stranger of/);
          return;
        }
        assert.fail(`port ${wish} was given out`);
      },
    ),
  );
});

test('when nothing is free it says so', () => {
  const all = Array.from({ length: AUTOMATIC_PORTS }, (_, index) => 10_000 + index);
  assert.throws(() => decidePort(null, situation([], all)), { code: 'PortInUse' });
  assert.throws(() => decidePort(10_000, situation(all, [])), /Name another one/);
});
