import type { ProxyPath } from './proxy.ts';
export interface SubscriberState {
  leave(): void;
  counts(): { channels: number; patterns: number; shard: number };
}
export class Subscriptions {
  constructor(_p: ProxyPath) {}
  topologyChanged(): void {}
  close(): void {}
}
