import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Policy } from '../../endpoint/control-protocol.ts';
import { ControlError } from '../errors.ts';
import { MIN_SHARD_BYTES } from './limits.ts';
import { formatBytes, parseMiniature } from './miniature.ts';
import { type SizingMachine, type SizingRequest, sizing, usableBytes } from './sizing.ts';
import { SKUS } from './skus.ts';

const MACHINE: SizingMachine = { cores: 2, miniature: null };
const POLICIES: readonly Policy[] = ['OSSCluster', 'EnterpriseCluster', 'NoCluster'];

function request(sku: string, more: Partial<SizingRequest> = {}): SizingRequest {
  return { sku, capacity: null, highAvailability: true, policy: 'OSSCluster', ...more };
}

const isError = (code: string, status: number) => (error: unknown) =>
  error instanceof ControlError && error.code === code && error.status === status;

describe('sizing', () => {
  it('gives the figures of a SKU as the catalogue has them', () => {
    assert.deepEqual(sizing(request('Balanced_B1'), MACHINE), {
      sku: 'Balanced_B1',
      shards: 1,
      replicas: 1,
      maxMemoryBytes: 800_000_000,
      maxConnections: 15_000,
      ioThreads: 1,
      outputBufferBytes: 400_000_000,
      bandwidthMbps: 5_000,
      scaled: null,
    });
    const x100 = sizing(request('ComputeOptimized_X100', { highAvailability: false }), {
      cores: 64,
      miniature: null,
    });
    assert.equal(x100.replicas, 0);
    assert.equal(x100.shards, 48);
    assert.equal(x100.maxMemoryBytes, 2_000_000_000);
    assert.equal(x100.ioThreads, 1);
  });

  it('keeps the promise of memory for every SKU and policy', () => {
    for (const sku of SKUS.filter((each) => !each.flash)) {
      for (const policy of POLICIES) {
        if (policy === 'NoCluster' && sku.sizeGB > 25) continue;
        const figures = sizing(request(sku.name, { policy }), MACHINE);
        const held = figures.maxMemoryBytes * figures.shards;
        assert.ok(held <= usableBytes(sku) && held > usableBytes(sku) - figures.shards, sku.name);
        assert.equal(figures.shards, policy === 'NoCluster' ? 1 : sku.shards);
        assert.ok(figures.ioThreads >= 1 && figures.ioThreads <= MACHINE.cores);
        assert.equal(figures.scaled, null);
      }
    }
  });

  it('takes threads from the SKU, bounded by the machine', () => {
    const threads = (sku: string, cores: number, policy: Policy = 'OSSCluster') =>
      sizing(request(sku, { policy }), { cores, miniature: null }).ioThreads;
    assert.equal(threads('Balanced_B1', 8), 2);
    assert.equal(threads('Balanced_B1', 1), 1);
    assert.equal(threads('Balanced_B3', 8), 1);
    assert.equal(threads('ComputeOptimized_X3', 8), 2);
    assert.equal(threads('ComputeOptimized_X20', 64, 'NoCluster'), 8);
    assert.equal(threads('ComputeOptimized_X20', 16, 'NoCluster'), 4);
    assert.equal(threads('ComputeOptimized_X20', 2, 'NoCluster'), 1);
  });

  it('measures one address by Azure’s figure for one address', () => {
    assert.equal(sizing(request('Balanced_B1000'), MACHINE).bandwidthMbps, 128_000);
    const single = request('Balanced_B1000', { policy: 'EnterpriseCluster' });
    assert.equal(sizing(single, MACHINE).bandwidthMbps, 32_000);
  });

  it('refuses flash until it is flash, and NoCluster above 25 GB', () => {
    for (const sku of ['FlashOptimized_A250', 'EnterpriseFlash_F300']) {
      assert.throws(() => sizing(request(sku), MACHINE), isError('FlashNotBuilt', 501));
    }
    const tooLarge = request('Balanced_B50', { policy: 'NoCluster' });
    assert.throws(() => sizing(tooLarge, MACHINE), isError('SkuNotAllowedForPolicy', 400));
    for (const sku of ['Balanced_B20', 'MemoryOptimized_M20', 'Enterprise_E20']) {
      assert.equal(sizing(request(sku, { policy: 'NoCluster' }), MACHINE).shards, 1);
    }
  });

  it('makes large SKUs small and says so', () => {
    const miniature = parseMiniature('memory=0.001,shards=2');
    const figures = sizing(request('Balanced_B1000'), { cores: 2, miniature });
    assert.equal(figures.shards, 2);
    assert.equal(figures.maxMemoryBytes, 384_000_000);
    assert.equal(figures.maxConnections, 200_000);
    assert.equal(figures.scaled, 'in miniature: 768 MB instead of 768 GB, 2 of 192 shards');
    const tiny = sizing(request('Balanced_B0'), {
      cores: 2,
      miniature: parseMiniature('memory=0.0001'),
    });
    assert.equal(tiny.maxMemoryBytes, MIN_SHARD_BYTES);
    assert.match(tiny.scaled ?? '', /33\.6 MB instead of 400 MB/);
    const one = parseMiniature('shards=1');
    assert.equal(sizing(request('Balanced_B1'), { cores: 2, miniature: one }).scaled, null);
  });

  it('holds for any machine and miniature', () => {
    const skus = fc.constantFrom(...SKUS.filter((each) => !each.flash).map((each) => each.name));
    fc.assert(
      fc.property(
        skus,
        fc.double({ min: 1e-6, max: 1, noNaN: true }),
        fc.option(fc.integer({ min: 1, max: 400 })),
        fc.integer({ min: 1, max: 128 }),
        (sku, memoryFactor, maxShards, cores) => {
          const machine = { cores, miniature: { memoryFactor, maxShards } };
          const figures = sizing(request(sku), machine);
          assert.ok(Number.isSafeInteger(figures.maxMemoryBytes));
          assert.ok(figures.maxMemoryBytes >= MIN_SHARD_BYTES);
          assert.ok(figures.shards >= 1 && figures.shards <= (maxShards ?? 384));
          assert.ok(figures.ioThreads <= cores);
          assert.ok(figures.outputBufferBytes >= MIN_SHARD_BYTES);
          const plain = sizing(request(sku), { cores, miniature: null });
          const same =
            plain.shards === figures.shards && plain.maxMemoryBytes === figures.maxMemoryBytes;
          assert.equal(figures.scaled === null, same || figures.scaled === null);
          if (!same) assert.notEqual(figures.scaled, null);
        },
      ),
    );
  });
});

describe('the miniature setting', () => {
  it('is read from text', () => {
    assert.equal(parseMiniature(undefined), null);
    assert.equal(parseMiniature(' '), null);
    assert.deepEqual(parseMiniature('memory=0.5'), { memoryFactor: 0.5, maxShards: null });
    assert.deepEqual(parseMiniature(' shards = 3 '), { memoryFactor: 1, maxShards: 3 });
    assert.deepEqual(parseMiniature('shards=2,memory=1e-3'), { memoryFactor: 0.001, maxShards: 2 });
    const bad = ['0.5', 'memory=0', 'memory=2', 'memory=', 'memory=x', 'shards=0', 'shards=1.5'];
    for (const text of [...bad, 'memory=1,memory=1', 'cpu=1', 'memory=1=1', ',']) {
      assert.throws(() => parseMiniature(text), isError('InvalidMiniature', 400), text);
    }
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          const miniature = parseMiniature(text);
          if (miniature !== null) assert.ok(miniature.memoryFactor > 0);
        } catch (error) {
          assert.ok(isError('InvalidMiniature', 400)(error));
        }
      }),
    );
  });

  it('shows sizes in decimal units', () => {
    for (const [bytes, text] of [
      [0, '0 B'],
      [999, '999 B'],
      [33_554_432, '33.6 MB'],
      [9_600_000_000, '9.6 GB'],
      [768e9, '768 GB'],
      [999_960_000, '1 GB'],
      [-5000, '-5 kB'],
    ] as const) {
      assert.equal(formatBytes(bytes), text);
    }
  });
});
