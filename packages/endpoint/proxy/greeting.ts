/** HELLO: the engine's own fields as it sends them, with what is the session's put in. */
import { bulk, payload, splitArray } from './raw-reply.ts';
import type { Session } from './session.ts';

/** The engine's HELLO replies, names and values in turn; by protocol. */
export interface EngineGreeting {
  readonly resp2: readonly Buffer[];
  readonly resp3: readonly Buffer[];
}

/** From the replies to HELLO 2 and HELLO 3. Null: at least one of them is an error. */
export function readGreeting(resp2: Buffer, resp3: Buffer): EngineGreeting | null {
  if (resp2[0] !== 42 || resp3[0] !== 37) return null;
  return { resp2: splitArray(resp2), resp3: splitArray(resp3) };
}

/** One address is one server: its mode is `standalone` unless the client is to know the shards. */
export function greeting(session: Session): Buffer {
  const { proxy, state, client } = session;
  const known = proxy.greeting;
  const items = (state.protocol === 3 ? known?.resp3 : known?.resp2) ?? [];
  const out: Buffer[] = [];
  for (let i = 0; i + 1 < items.length; i += 2) {
    const name = items[i];
    const value = items[i + 1];
    if (name === undefined || value === undefined) break;
    out.push(name, own(payload(name).toString()) ?? value);
  }
  const head = state.protocol === 3 ? `%${out.length / 2}\r\n` : `*${out.length}\r\n`;
  return Buffer.concat([Buffer.from(head), ...out]);

  function own(name: string): Buffer | null {
    if (name === 'proto') return Buffer.from(`:${state.protocol}\r\n`);
    if (name === 'id') return Buffer.from(`:${client.number}\r\n`);
    if (name === 'role') return bulk('master');
    if (name === 'mode') return bulk(proxy.view.policy === 'OSSCluster' ? 'cluster' : 'standalone');
    return null;
  }
}
