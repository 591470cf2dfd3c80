/** Why a server cannot be used, and what to do: what the error says, and what the port says when it is asked otherwise. */
import { messageOf } from '../errors.ts';
import type { Address } from '../identity/address.ts';
import { DIAGNOSE_OTHERWISE_MS } from '../limits.ts';
import { Probe } from './probe.ts';

/** Errors of the way there, which TLS in the wrong place may be the cause of. */
const unclear =
  /closed|ECONNRESET|EPIPE|RESP|no connection within|version number|packet length|EPROTO|SSL/i;

export const isCertificate = /certificate|altname|CERT_|self-signed|issuer/i;

export async function remedyOf(error: unknown, address: Address): Promise<string> {
  const message = messageOf(error);
  const known = knownRemedy(message, address) ?? certificateRemedy(error, message);
  if (known !== undefined) return `${message}: ${known}`;
  if (!unclear.test(message)) return message;
  const { tls, host, port } = address;
  if (await speaks(address, !tls)) {
    return tls
      ? `${message}: port ${port} does not speak TLS; use redis://, or the TLS port`
      : `${message}: port ${port} wants TLS; use rediss://`;
  }
  if (/^no connection within/.test(message)) {
    return `${message}: a firewall that drops packets, or a wrong ${tls ? 'port' : 'address'}`;
  }
  return `${message}: what answers at ${host}:${port} is no Redis or Valkey, with TLS or without, or it takes no connection now`;
}

function knownRemedy(message: string, { password, username }: Address): string | undefined {
  if (/ECONNREFUSED/.test(message))
    return 'nothing listens there; is the port right (10000; 6379 or 6380 elsewhere)?';
  if (/ENOTFOUND|EAI_AGAIN/.test(message)) return 'the name does not resolve from here';
  if (/without any password/.test(message))
    return 'the server has none: leave it out of the address; is it the right server?';
  if (/^NOAUTH/.test(message) && password === undefined)
    return 'it wants an access key, and the address has none: rediss://:KEY@host:port, or rediss://USER:TOKEN@host:port';
  if (/WRONGPASS|NOAUTH|invalid password/i.test(message)) {
    const who = username === undefined ? '' : `, and is ${username} its user`;
    return `fetch the access key again; was it rotated${who}?`;
  }
  return undefined;
}

function certificateRemedy(error: unknown, message: string): string | undefined {
  if (/altname/i.test(message)) {
    const names: unknown = Reflect.get(
      Object(Reflect.get(Object(error), 'cert')),
      'subjectaltname',
    );
    const hosts = [...String(names).matchAll(/DNS:([^\s,]+)/g)].map(([, host]) => host);
    const which = hosts.length === 0 ? '' : `: ${hosts.slice(0, 3).join(', ')}`;
    return `connect by a name that the certificate is for${which}`;
  }
  return isCertificate.test(message)
    ? 'give the certificate of its CA (ca), and your client the same; NODE_EXTRA_CA_CERTS names a file of it for a whole process'
    : undefined;
}

/** Does it answer with TLS, or without? Nothing that is secret is sent. */
async function speaks(address: Address, tls: boolean): Promise<boolean> {
  const signal = AbortSignal.timeout(DIAGNOSE_OTHERWISE_MS);
  let probe: Probe | undefined;
  const stop = (): void => probe?.close();
  signal.addEventListener('abort', stop, { once: true });
  try {
    probe = await Probe.open({ ...address, tls }, { verify: false, signal });
    // That a handshake was made is enough; without one, only a reply tells.
    return tls || (await probe.exchange(['PING'])).length > 0;
  } catch {
    return false;
  } finally {
    signal.removeEventListener('abort', stop);
    probe?.close();
  }
}
