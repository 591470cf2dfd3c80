/**
 * The port without TLS of an engine whose clients talk to it directly and in plaintext. An engine opens
 * and closes one while it serves, so neither another policy nor another protocol needs a process anew.
 *
 * To open: claimed in the records, then told; a crash in between finds the claim and tells again. To
 * close: told first, so that a port given back is never one that an engine still holds; and who was
 * connected there is sent away, because that is what the change is for.
 */
import { freeShardPort, wantsPlainPort } from '../layout.ts';
import { VERB_DEADLINE_MS } from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';

export async function settleClientPort(loop: DatabaseLoop, id: string): Promise<void> {
  const wanted = wantsPlainPort(loop.database());
  const { plainPort } = loop.instance(id);
  if (wanted && plainPort === 0) await claim(loop, id);
  const port = wanted ? loop.instance(id).plainPort : 0;
  const { link } = loop.watch(id);
  const now = await link.readSettings(['port'], VERB_DEADLINE_MS);
  if (now['port'] !== String(port)) await tell(loop, id, port);
  if (wanted || plainPort === 0) return;
  await link.disconnect(null, VERB_DEADLINE_MS);
  const { store } = loop.deps;
  store.write(() => {
    store.freePort(plainPort);
    store.putInstance({ ...loop.instance(id), plainPort: 0 });
  });
}

async function claim(loop: DatabaseLoop, id: string): Promise<void> {
  const { store } = loop.deps;
  const port = await freeShardPort(loop.deps);
  store.write(() => {
    store.claimPort({ port, owner: `${loop.id}/${id}`, purpose: 'shard' });
    store.putInstance({ ...loop.instance(id), plainPort: port });
  });
}

/** A port that somebody took since it was looked at is given up: the next try takes another. */
async function tell(loop: DatabaseLoop, id: string, port: number): Promise<void> {
  const { store } = loop.deps;
  const instance = loop.instance(id);
  try {
    await loop.watch(id).link.configure(
      {
        port: String(port),
        // Who asks over the unix socket is told this one; without it, the one with TLS.
        'cluster-announce-port': String(port > 0 ? port : instance.port),
      },
      VERB_DEADLINE_MS,
    );
  } catch (error) {
    if (port > 0 && !(await loop.deps.node.portIsFree(instance.host, port))) {
      store.write(() => {
        store.freePort(port);
        store.putInstance({ ...loop.instance(id), plainPort: 0 });
      });
    }
    throw error;
  }
}
