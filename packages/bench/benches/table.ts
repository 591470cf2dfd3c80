/** Every benchmark by name, loaded when asked for: one that cannot load does not stop the others. */
import type { Bench } from '../harness/result.ts';

export const BENCHES: Readonly<Record<string, () => Promise<Bench>>> = {
  lifecycle: async () => (await import('./lifecycle.ts')).lifecycle,
  scale: async () => (await import('./scale.ts')).scale,
  endpoint: async () => (await import('./endpoint.ts')).endpoint,
  isolation: async () => (await import('./isolation.ts')).isolation,
  connections: async () => (await import('./connections.ts')).connections,
  'sku-connections': async () => (await import('./sku-connections.ts')).skuConnections,
  generator: async () => (await import('./generator.ts')).generator,
  failover: async () => (await import('./failover.ts')).failover,
  client: async () => (await import('./client.ts')).client,
};
