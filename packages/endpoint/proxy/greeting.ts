/** HELLO: the engine's own fields, with what is the session's put in. */
import { type Reply, ReplyParser } from '../../resp/index.ts';
import type { Session } from './session.ts';

/** Fields of a RESP2 HELLO reply whose values are plain text or numbers. */
export function readGreeting(bytes: Buffer): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  new ReplyParser({
    onReply: (reply: Reply) => {
      if (!Array.isArray(reply)) return;
      for (let i = 0; i + 1 < reply.length; i += 2) {
        const value = reply[i + 1] ?? null;
        if (!Array.isArray(value)) fields.set(String(reply[i]), String(value));
      }
    },
  }).push(bytes);
  return fields;
}

/** One address is one server: its mode is `standalone` unless the client is to know the shards. */
export function greeting(session: Session): string {
  const { proxy, state } = session;
  const values = new Map(proxy.greeting);
  values.set('mode', proxy.view.policy === 'OSSCluster' ? 'cluster' : 'standalone');
  values.set('role', 'master');
  const lines: string[] = [];
  for (const [name, value] of values) {
    if (name === 'proto' || name === 'id') {
      lines.push(bulk(name), `:${name === 'proto' ? state.protocol : session.client.number}\r\n`);
    } else {
      lines.push(bulk(name), bulk(value));
    }
  }
  lines.push(bulk('modules'), '*0\r\n');
  const fields = values.size + 1;
  const head = state.protocol === 3 ? `%${fields}\r\n` : `*${fields * 2}\r\n`;
  return head + lines.join('');
}

function bulk(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
}
