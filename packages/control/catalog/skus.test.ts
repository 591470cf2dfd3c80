import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KnownSkuName } from '@azure/arm-redisenterprisecache';
import fc from 'fast-check';
import { ControlError } from '../errors.ts';
import { findOffer, SKU_NAMES } from './lookup.ts';
import { RETIRED_SKUS } from './retired.ts';
import { SKUS } from './skus.ts';

const isError = (code: string, status: number, text: RegExp) => (error: unknown) =>
  error instanceof ControlError &&
  error.code === code &&
  error.status === status &&
  text.test(error.message);

describe('the catalogue', () => {
  it('has Azure’s 44 present names and 11 retired ones', () => {
    const count = (tier: string) => SKUS.filter((sku) => sku.tier === tier).length;
    assert.deepEqual(
      ['Balanced', 'MemoryOptimized', 'ComputeOptimized', 'FlashOptimized'].map(count),
      [14, 12, 11, 7],
    );
    assert.equal(RETIRED_SKUS.length, 11);
    assert.equal(new Set(SKU_NAMES).size, 55);
    // The names that the published SDK of 2022 knows are among them.
    assert.ok(Object.values(KnownSkuName).length >= 7);
    for (const name of Object.values(KnownSkuName)) assert.ok(SKU_NAMES.includes(name));
  });

  it('is in order: larger sizes of a tier never have less of anything', () => {
    for (const tier of new Set(SKUS.map((sku) => sku.tier))) {
      const sizes = SKUS.filter((sku) => sku.tier === tier);
      for (const [index, sku] of sizes.entries()) {
        const smaller = sizes[index - 1];
        assert.ok(sku.name.startsWith(`${tier}_`));
        assert.ok(sku.flash === (sku.bandwidthMbps === null), sku.name);
        if (smaller === undefined) continue;
        assert.ok(sku.sizeGB > smaller.sizeGB, sku.name);
        assert.ok(sku.vcpus >= smaller.vcpus, sku.name);
        assert.ok(sku.shards >= smaller.shards, sku.name);
        assert.ok(sku.maxConnections >= smaller.maxConnections, sku.name);
      }
    }
  });

  it('says what Azure publishes for a sample of each tier', () => {
    const rows: [string, number, number, number, number, number, number][] = [
      ['Balanced_B0', 0.5, 2, 1, 15_000, 5_000, 5_000],
      ['Balanced_B1', 1, 2, 1, 15_000, 5_000, 5_000],
      ['Balanced_B10', 12, 4, 2, 30_000, 4_000, 4_000],
      ['Balanced_B1000', 960, 256, 192, 200_000, 128_000, 32_000],
      ['MemoryOptimized_M50', 60, 8, 6, 75_000, 8_000, 8_000],
      ['MemoryOptimized_M150', 180, 24, 24, 200_000, 24_000, 8_000],
      ['MemoryOptimized_M2000', 1920, 256, 192, 200_000, 128_000, 32_000],
      ['ComputeOptimized_X3', 3, 4, 2, 30_000, 10_000, 10_000],
      ['ComputeOptimized_X700', 720, 384, 384, 200_000, 140_000, 35_000],
    ];
    for (const [name, sizeGB, vcpus, shards, maxConnections, oss, enterprise] of rows) {
      const { sku } = findOffer(name, null);
      assert.deepEqual(
        [sku.sizeGB, sku.vcpus, sku.shards, sku.maxConnections, sku.bandwidthMbps],
        [sizeGB, vcpus, shards, maxConnections, { oss, enterprise }],
        name,
      );
    }
    assert.equal(findOffer('FlashOptimized_A4500', null).sku.sizeGB, 4500);
  });

  it('finds a name in any case and answers in Azure’s spelling', () => {
    for (const name of SKU_NAMES) {
      assert.equal(findOffer(name.toUpperCase(), null).sku.name, name);
      assert.equal(findOffer(name.toLowerCase(), null).sku.name, name);
    }
  });

  it('knows capacity for the retired names only, with Azure’s defaults', () => {
    assert.equal(findOffer('Enterprise_E10', null).capacity, 2);
    assert.equal(findOffer('EnterpriseFlash_F300', null).capacity, 3);
    assert.equal(findOffer('Balanced_B1', null).capacity, null);
    assert.equal(findOffer('Enterprise_E10', 6).sku.sizeGB, 36);
    assert.equal(findOffer('EnterpriseFlash_F300', 9).sku.sizeGB, 1035);
    assert.equal(findOffer('Enterprise_E20', 8).sku.shards, 16);
    const refused: [string, number, RegExp][] = [
      ['Balanced_B1', 2, /has no capacity/],
      ['Enterprise_E1', 4, /comes with 2 only/],
      ['Enterprise_E10', 3, /comes with 2, 4, 6, 8, 10/],
      ['Enterprise_E10', 0, /comes with/],
      ['EnterpriseFlash_F700', 6, /comes with 3, 9/],
    ];
    for (const [name, capacity, text] of refused) {
      assert.throws(() => findOffer(name, capacity), isError('InvalidSkuCapacity', 400, text));
    }
  });

  it('refuses other names with a hint where one is near', () => {
    const hinted = isError('InvalidSku', 400, /Did you mean 'Balanced_B1'\?/);
    assert.throws(() => findOffer('b1', null), hinted);
    assert.throws(() => findOffer('Basic_B1', null), hinted);
    fc.assert(
      fc.property(fc.string({ maxLength: 500 }), fc.option(fc.integer()), (name, capacity) => {
        try {
          findOffer(name, capacity);
        } catch (error) {
          assert.ok(isError('InvalidSku', 400, /^There is no SKU/)(error), name);
          assert.ok(String(error).length < 300);
        }
      }),
    );
  });
});
