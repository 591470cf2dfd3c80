/**
 * What a client publishes to itself (RESP3 alone allows it). The engine sends the answer to PUBLISH, the
 * message, and then the answer to what stands behind. Here answer and message come over two connections,
 * and either may be first. So the message is kept back until the answer is out, and the next command until
 * the connection that listens has passed the place where the message is: it answers a PING behind it.
 */
import { keySlot } from '../../resp/index.ts';
import { globMatches } from './glob.ts';
import type { Session } from './session.ts';
import type { Shard } from './shard.ts';
import type { Message } from './subscribe-command.ts';

export function hears({ state }: Session, { channel, sharded }: Message): boolean {
  if (state.subscriber === null) return false;
  const { names } = state.subscriber;
  if (sharded) return names.ssubscribe.has(channel);
  if (names.subscribe.has(channel)) return true;
  return [...names.psubscribe].some((pattern) => globMatches(pattern, channel));
}

/** Before it is published. What is returned is to be called when the answer has its place. */
export function keepBack(session: Session, messages: readonly Message[]): () => void {
  const { topology } = session.proxy.world;
  const shards = new Set<Shard>();
  for (const message of messages) {
    if (!hears(session, message)) continue;
    const slot = message.sharded ? keySlot(Buffer.from(message.channel, 'latin1')) : topology.home;
    const shard = topology.cluster ? topology.ofSlot(slot) : topology.first();
    if (shard !== null) shards.add(shard);
  }
  if (shards.size === 0) return NOTHING;
  session.order.begin();
  session.gate(1);
  let left = shards.size;
  const passed = (): void => {
    if (--left > 0 || session.gone) return;
    session.order.complete();
    session.settle();
    session.gate(-1);
  };
  return () => {
    for (const shard of shards) session.proxy.subscriptions.passed(session, shard, passed);
  };
}

const NOTHING = (): void => undefined;
