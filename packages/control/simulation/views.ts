/** The endpoint as the simulator has it: what it was told last. */
import type { Successor } from '../../endpoint/control-protocol.ts';
import type { SlotRange } from '../../engine/contract.ts';

/** As much of a database's view as a client needs: who is primary of each shard. */
export interface ClientView {
  readonly id: string;
  readonly policy: string;
  readonly shards: readonly ClientShard[];
}

interface ClientShard {
  readonly id: string;
  readonly state: string;
  readonly slots: readonly SlotRange[];
  readonly primary: { readonly node: string } | null;
  readonly replicas: readonly { readonly node: string }[];
}

/** After the word that lets a shard go on; throws where the endpoint has no such replica. */
export function goneOn(
  views: readonly ClientView[],
  shard: string,
  successor: Successor | null,
): ClientView[] {
  return views.map((view) => ({
    ...view,
    shards: view.shards.map((each) => (each.id === shard ? succeeded(each, successor) : each)),
  }));
}

function succeeded(shard: ClientShard, successor: Successor | null): ClientShard {
  const state = shard.state === 'held' ? 'serving' : shard.state;
  if (successor === null || shard.primary?.node === successor.node) return { ...shard, state };
  const next = shard.replicas.find(({ node }) => node === successor.node);
  if (next === undefined) throw new Error(`${shard.id} has no replica ${successor.node}`);
  const replicas = shard.replicas.filter((each) => each !== next);
  return { ...shard, state: 'serving', primary: next, replicas };
}
