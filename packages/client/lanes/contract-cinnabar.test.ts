/**
 * The same promises on a managed cache, over TLS and with its access key: through the endpoint with
 * several shards, through it with databases, and straight on the shards.
 */
import { after, before, describe } from 'node:test';
import { startCache, type TestCache } from '../../testing/index.ts';
import { clusterKinds, type Kind, overTls, plainKinds } from '../testing/clients.ts';
import { contract, type Has } from '../testing/contract.ts';

interface Row {
  readonly policy: 'OSSCluster' | 'EnterpriseCluster' | 'NoCluster';
  readonly sku: string;
  readonly kinds: readonly Kind[];
  readonly has: Has;
}

const ROWS: readonly Row[] = [
  {
    policy: 'EnterpriseCluster',
    sku: 'ComputeOptimized_X3',
    kinds: plainKinds,
    has: { oneAddress: true, databases: false },
  },
  {
    policy: 'NoCluster',
    sku: 'Balanced_B0',
    kinds: plainKinds,
    has: { oneAddress: true, databases: true },
  },
  {
    policy: 'OSSCluster',
    sku: 'ComputeOptimized_X3',
    kinds: clusterKinds,
    has: { oneAddress: false, databases: false },
  },
];

for (const { policy, sku, kinds, has } of ROWS) {
  describe(policy, () => {
    let cache: TestCache;
    before(async () => {
      cache = await startCache({ policy, sku });
    });
    after(() => cache?.stop());
    for (const kind of kinds)
      describe(kind.name, () =>
        contract(
          overTls(kind, () => cache),
          () => [cache.port],
          has,
        ),
      );
  });
}
