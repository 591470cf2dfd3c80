import assert from 'node:assert/strict';
import { statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Policy } from '../../endpoint/control-protocol.ts';
import { ControlError } from '../errors.ts';
import {
  addNeeds,
  capacitySummary,
  fits,
  freeRoom,
  largestThatFits,
  NOTHING,
  needOf,
  type Room,
  requireCapacity,
} from './capacity.ts';
import { readMemory, readRoom, readSizingMachine } from './machine.ts';
import { requireScaling, type ScalingQuestion, scalingTargets } from './scaling.ts';
import { type SizingMachine, sizing } from './sizing.ts';
import { SKUS } from './skus.ts';

const GB = 1e9;
const MACHINE: SizingMachine = { cores: 4, miniature: null };

function room(memoryGB: number, diskGB = 1000): Room {
  return {
    memory: { totalBytes: memoryGB * GB, availableBytes: memoryGB * GB, ownBytes: 0 },
    disk: { totalBytes: diskGB * GB, availableBytes: diskGB * GB, ownBytes: 0 },
  };
}

function figures(sku: string, highAvailability = true) {
  return sizing({ sku, capacity: null, highAvailability, policy: 'OSSCluster' }, MACHINE);
}

function ask(sku: string, where: Room, promised = NOTHING) {
  const policy = 'OSSCluster';
  requireCapacity({ figures: figures(sku), policy, machine: MACHINE, room: where, promised });
}

const isError = (code: string, status: number, text: RegExp) => (error: unknown) =>
  error instanceof ControlError &&
  error.code === code &&
  error.status === status &&
  text.test(error.message);

describe('capacity', () => {
  it('counts copies, buffers, forks and the engines themselves', () => {
    const single = needOf(figures('Balanced_B1', false)).memoryBytes;
    const pair = needOf(figures('Balanced_B1')).memoryBytes;
    assert.ok(single > 1 * GB && single < 1.3 * GB, `${single}`);
    assert.ok(pair > 2 * GB && pair < 2.4 * GB, `${pair}`);
    assert.equal(needOf(figures('Balanced_B10')).diskBytes, 9.6 * GB);
  });

  it('refuses what does not fit, says what is free and which SKU fits', () => {
    ask('Balanced_B10', room(32));
    const refused = isError(
      'InsufficientCapacity',
      409,
      /^Balanced_B50 with replicas \(12 shards\) needs \d+ GB of memory .* 30\.4 GB of 32 GB are free .* largest that fits is \w+_[BMX]10\. Made small/,
    );
    assert.throws(() => ask('Balanced_B50', room(32)), refused);
    const alone = /none fits; without it the largest is Balanced_B0\. Made small/;
    assert.throws(() => ask('Balanced_B1', room(1)), isError('InsufficientCapacity', 409, alone));
    const nothing = /No SKU fits: delete a cache, or free memory\.$/;
    assert.throws(
      () => ask('Balanced_B1', room(0.3)),
      isError('InsufficientCapacity', 409, nothing),
    );
    const small = { ...MACHINE, miniature: { memoryFactor: 0.5, maxShards: null } };
    assert.throws(
      () =>
        requireCapacity({
          figures: figures('Balanced_B1'),
          policy: 'OSSCluster',
          machine: small,
          room: room(0.2),
          promised: NOTHING,
        }),
      isError(
        'InsufficientCapacity',
        409,
        /in miniature neither: delete a cache, or free memory\.$/,
      ),
    );
    const disk = /needs \S+ GB of disk for what a stop saves; \S+ GB of 5 GB are free/;
    assert.throws(
      () => ask('Balanced_B10', room(64, 5)),
      isError('InsufficientCapacity', 409, disk),
    );
    const both = /GB of memory .*, and \S+ GB of disk .*No SKU fits: .*free memory and disk/;
    assert.throws(
      () => ask('Balanced_B10', room(0.3, 1)),
      isError('InsufficientCapacity', 409, both),
    );
  });

  it('says with which division the SKU that was asked for fits, and then it does', () => {
    const refusedOf = (
      sku: string,
      machine: SizingMachine,
      where: Room,
      policy: Policy,
    ): string => {
      const asked = sizing({ sku, capacity: null, highAvailability: true, policy }, machine);
      try {
        requireCapacity({ figures: asked, policy, machine, room: where, promised: NOTHING });
        return '';
      } catch (error) {
        return String(error);
      }
    };
    const advised = (sku: string, where: Room, policy: Policy): void => {
      const said = refusedOf(sku, MACHINE, where, policy);
      const [, divisor, shards] = /'cinnabar up --miniature (\d+)\/(\d+)'\.$/.exec(said) ?? [];
      const machine = (by: number): SizingMachine => ({
        ...MACHINE,
        miniature: { memoryFactor: 1 / by, maxShards: Number(shards) },
      });
      assert.equal(refusedOf(sku, machine(Number(divisor)), where, policy), '', said);
      assert.notEqual(refusedOf(sku, machine(Number(divisor) / 2), where, policy), '', said);
    };
    advised('Balanced_B1000', room(16), 'OSSCluster');
    advised('MemoryOptimized_M2000', room(8, 20), 'EnterpriseCluster');
    advised('Balanced_B5', room(2), 'EnterpriseCluster');
    advised('Balanced_B20', room(8), 'NoCluster');
    // In miniature already, and still too large.
    const machine = { ...MACHINE, miniature: { memoryFactor: 1 / 16, maxShards: 4 } };
    assert.match(
      refusedOf('Balanced_B1000', machine, room(16), 'OSSCluster'),
      /--miniature 256\/4'\.$/,
    );
  });

  it('says how many replicas were asked for, and what fits with one', () => {
    const two = { ...figures('Balanced_B10'), replicas: 2 };
    const question = { policy: 'OSSCluster', machine: MACHINE, promised: NOTHING } as const;
    assert.throws(
      () => requireCapacity({ ...question, figures: two, room: room(32) }),
      isError(
        'InsufficientCapacity',
        409,
        /^Balanced_B10 with 2 replicas \(.* With one replica the largest that fits is \w+\. Made small/,
      ),
    );
  });

  it('keeps what was promised, also when nobody uses it yet', () => {
    const promised = addNeeds([needOf(figures('Balanced_B10')), needOf(figures('Balanced_B0'))]);
    assert.throws(() => ask('Balanced_B5', room(32), promised), ControlError);
    ask('Balanced_B1', room(32), promised);
    const summary = capacitySummary(room(32), promised);
    assert.equal(summary.reservedBytes, promised.memoryBytes);
    assert.ok(summary.freeBytes > 0 && summary.freeBytes < 32 * GB - promised.memoryBytes);
    assert.equal(capacitySummary(room(1), promised).freeBytes, 0);
  });

  it('does not count our own engines against us, but everything else', () => {
    const used = (availableBytes: number, ownBytes: number): Room => ({
      ...room(32),
      memory: { totalBytes: 32 * GB, availableBytes, ownBytes },
    });
    const free = (where: Room) => freeRoom(where, NOTHING).memoryBytes;
    assert.equal(free(used(20 * GB, 12 * GB)), free(room(32)));
    assert.equal(free(used(20 * GB, 0)), free(room(32)) - 12 * GB);
    assert.equal(free(used(30 * GB, 12 * GB)), free(room(32)), 'never more than there is');
  });

  it('suggests only what then is accepted', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.1, max: 5000, noNaN: true }), fc.boolean(), (memory, ha) => {
        const free = freeRoom(room(memory, 10_000), NOTHING);
        const question = {
          policy: 'OSSCluster',
          machine: MACHINE,
          free,
          highAvailability: ha,
        } as const;
        const best = largestThatFits(question);
        if (best === null) {
          assert.ok(!fits(needOf(figures('Balanced_B0', ha)), free));
          return;
        }
        assert.ok(fits(needOf(figures(best, ha)), free));
        for (const sku of SKUS.filter((each) => !each.flash)) {
          const other = figures(sku.name, ha);
          const mine = figures(best, ha);
          if (other.shards * other.maxMemoryBytes <= mine.shards * mine.maxMemoryBytes) continue;
          assert.ok(!fits(needOf(other), free), `${sku.name} over ${best}`);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('this machine', () => {
  it('is read from the kernel', () => {
    const found = readRoom(tmpdir(), { memoryBytes: 1, diskBytes: 2 });
    assert.ok(found.memory.totalBytes > 100e6);
    assert.ok(found.memory.availableBytes > 0);
    assert.ok(found.memory.availableBytes <= found.memory.totalBytes);
    const disk = statfsSync(tmpdir());
    assert.equal(found.disk.totalBytes, disk.blocks * disk.bsize);
    assert.deepEqual([found.memory.ownBytes, found.disk.ownBytes], [1, 2]);
    assert.ok(readSizingMachine({}).cores >= 1);
    assert.equal(readSizingMachine({ CINNABAR_MINIATURE: 'shards=1' }).miniature?.maxShards, 1);
  });

  it('is as small as the tightest control group of its own', () => {
    const MEMINFO = 'MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:   12000000 kB\n';
    const read = (files: Record<string, string>) => (path: string) => files[path] ?? null;
    assert.deepEqual(readMemory(read({ '/proc/meminfo': MEMINFO })), {
      totalBytes: 16_384_000_000,
      availableBytes: 12_288_000_000,
    });
    const version2 = {
      '/proc/meminfo': MEMINFO,
      '/proc/self/cgroup': '0::/a/b\n',
      '/sys/fs/cgroup/a/memory.max': '4000000000\n',
      '/sys/fs/cgroup/a/memory.current': '1500000000\n',
      '/sys/fs/cgroup/a/memory.stat': 'anon 1\ninactive_file 500000000\n',
      '/sys/fs/cgroup/a/b/memory.max': 'max\n',
      '/sys/fs/cgroup/a/b/memory.current': '5\n',
    };
    assert.deepEqual(readMemory(read(version2)), {
      totalBytes: 4_000_000_000,
      availableBytes: 3_000_000_000,
    });
    const version1 = {
      '/proc/meminfo': MEMINFO,
      '/proc/self/cgroup': '12:cpu,cpuacct:/x\n5:memory:/docker/id\n',
      '/sys/fs/cgroup/memory/docker/id/memory.limit_in_bytes': '2000000000\n',
      '/sys/fs/cgroup/memory/docker/id/memory.usage_in_bytes': '1000000000\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
      '/sys/fs/cgroup/memory/memory.usage_in_bytes': '3000000000\n',
    };
    assert.deepEqual(readMemory(read(version1)), {
      totalBytes: 2_000_000_000,
      availableBytes: 1_000_000_000,
    });
  });
});

describe('scaling', () => {
  const question = (sku: string, more: Partial<ScalingQuestion> = {}): ScalingQuestion => ({
    current: figures(sku),
    capacity: null,
    policy: 'OSSCluster',
    machine: MACHINE,
    room: room(64),
    promised: NOTHING,
    usedBytes: 0,
    usedInAllBytes: 0,
    idleBytes: 0,
    slotsStay: null,
    ...more,
  });

  const possible = (asked: ScalingQuestion) =>
    scalingTargets(asked).filter((each) => each.reason === null);

  it('offers what fits and gives a reason for all others', () => {
    const targets = scalingTargets(question('Balanced_B3'));
    assert.equal(targets.length, SKUS.length - 1);
    for (const each of targets) {
      assert.equal(each.figures === null, each.reason !== null, each.name);
    }
    const shards = new Map(targets.map((each) => [each.name, each.figures?.shards]));
    assert.equal(shards.get('Balanced_B1'), 1);
    assert.equal(shards.get('Balanced_B5'), 2);
    assert.equal(shards.get('Balanced_B20'), 6);
  });

  it('offers as many shards only where the engines cannot move slots, and says so', () => {
    const older = question('Balanced_B3', {
      slotsStay: { code: 'EngineCannotMoveSlots', message: 'Needs Valkey 9.' },
    });
    const names = possible(older).map((each) => each.name);
    assert.deepEqual(names, [
      'Balanced_B5',
      'Balanced_B10',
      'MemoryOptimized_M10',
      'MemoryOptimized_M20',
      'ComputeOptimized_X3',
      'ComputeOptimized_X5',
    ]);
    const code = scalingTargets(older).find((each) => each.name === 'Balanced_B1')?.reason?.code;
    assert.equal(code, 'EngineCannotMoveSlots');
    assert.throws(
      () => requireScaling(older, 'Balanced_B1', null),
      isError('EngineCannotMoveSlots', 409, /1 shards and this cache 2.*Needs Valkey 9/),
    );
  });

  it('names what stands in the way', () => {
    const why = (sku: string, more: Partial<ScalingQuestion> = {}) =>
      scalingTargets(question('Balanced_B3', more)).find((each) => each.name === sku)?.reason?.code;
    assert.equal(why('FlashOptimized_A250'), 'FlashNotBuilt');
    assert.equal(why('Balanced_B1', { usedInAllBytes: 0.7 * GB }), undefined);
    assert.equal(why('Balanced_B1', { usedInAllBytes: 0.9 * GB }), 'UsedMemoryTooLarge');
    // Each shard has one engine, however many there were before.
    const beside = { usedInAllBytes: 0.7 * GB, idleBytes: 0.2 * GB };
    assert.equal(why('Balanced_B1', beside), 'UsedMemoryTooLarge');
    assert.equal(why('Balanced_B50', { policy: 'NoCluster' }), 'SkuNotAllowedForPolicy');
    assert.throws(
      () => requireScaling(question('Balanced_B3', { policy: 'NoCluster' }), 'Balanced_B50', null),
      isError('SkuNotAllowedForPolicy', 409, /a second cache with another policy/),
    );
    assert.equal(why('MemoryOptimized_M20', { room: room(16) }), 'InsufficientCapacity');
    const smaller = question('Balanced_B10', { usedBytes: 3 * GB });
    const target = scalingTargets(smaller).find((each) => each.name === 'Balanced_B5');
    assert.equal(target?.reason?.code, 'UsedMemoryTooLarge');
  });

  it('leads NoCluster to every size up to 25 GB', () => {
    const current = sizing(
      { sku: 'Balanced_B1', capacity: null, highAvailability: true, policy: 'NoCluster' },
      MACHINE,
    );
    const found = possible(question('Balanced_B1', { policy: 'NoCluster', current }));
    assert.ok(found.some((each) => each.name === 'Balanced_B20' && each.sizeGB === 24));
    assert.ok(found.every((each) => each.sizeGB <= 25));
  });

  it('is refused with the reason’s code, and is nothing when it is the same SKU', () => {
    const asked = question('Balanced_B3');
    assert.equal(requireScaling(asked, 'balanced_b3', null), asked.current);
    assert.equal(requireScaling(asked, 'Balanced_B5', null).maxMemoryBytes, 2.4 * GB);

    assert.throws(() => requireScaling(asked, 'nonsense', null), isError('InvalidSku', 400, /./));
    assert.throws(
      () => requireScaling(question('Balanced_B3', { room: room(8) }), 'Balanced_B10', null),
      isError(
        'InsufficientCapacity',
        409,
        /needs .* of memory with buffers and fork copies; .* are free for it/,
      ),
    );
  });
});
