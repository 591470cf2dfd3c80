/** Why a server cannot be used, and what to do: what the error says, and what the port says when it is asked otherwise. */
import { messageOf } from '../errors.ts';
import type { Address, Advice } from '../identity/address.ts';
import { DIAGNOSE_OTHERWISE_MS } from '../limits.ts';
import { Probe } from './probe.ts';

/** Errors of the way there, which TLS in the wrong place may be the cause of. */
const unclear =
  /closed|ECONNRESET|EPIPE|RESP|no connection within|version number|packet length|EPROTO|SSL/i;

export const isCertificate = /certificate|altname|CERT_|self-signed|issuer/i;

export async function remedyOf(error: unknown, address: Address): Promise<Advice> {
  const said = messageOf(error).replace(/\.$/, '');
  const advice = (code: Advice['code'], remedy: string): Advice => ({
    code,
    message: `${said}: ${remedy}`,
  });
  const known = knownRemedy(said, address) ?? certificateRemedy(error, said);
  if (known !== undefined) return advice(...known);
  const { tls, host, port } = address;
  if (!unclear.test(said)) {
    const remedy = `${host}:${port} says so; if it is the right server, its log and its documentation say more`;
    return advice('refused', remedy);
  }
  if (await speaks(address, !tls)) {
    return tls
      ? advice('not-tls', `port ${port} does not speak TLS; use redis://, or the TLS port`)
      : advice('wants-tls', `port ${port} wants TLS; use rediss://`);
  }
  if (/^no connection within/.test(said)) {
    const wrong = tls ? 'port' : 'address';
    return advice('no-answer', `a firewall that drops packets, or a wrong ${wrong}`);
  }
  const remedy = `what answers at ${host}:${port} is no Redis or Valkey, with TLS or without, or it takes no connection now`;
  return advice('no-such-server', remedy);
}

type Remedy = [code: Advice['code'], remedy: string];

function knownRemedy(message: string, { password, username }: Address): Remedy | undefined {
  if (/ECONNREFUSED/.test(message)) {
    return [
      'nothing-listens',
      'nothing listens there; is the port right (10000; 6379 or 6380 elsewhere)?',
    ];
  }
  if (/ENOTFOUND|EAI_AGAIN/.test(message))
    return ['unknown-name', 'the name does not resolve from here; is it spelled right?'];
  if (/without any password/.test(message)) {
    return [
      'wants-no-key',
      'the server has none: leave it out of the address; is it the right server?',
    ];
  }
  if (/^NOAUTH/.test(message) && password === undefined) {
    return [
      'wants-key',
      'it wants an access key, and the address has none: rediss://:KEY@host:port, or rediss://USER:TOKEN@host:port',
    ];
  }
  if (/WRONGPASS|NOAUTH|invalid password/i.test(message)) {
    const who = username === undefined ? '' : `, and is ${username} its user`;
    return ['wrong-key', `fetch the access key again; was it rotated${who}?`];
  }
  return undefined;
}

function certificateRemedy(error: unknown, message: string): Remedy | undefined {
  if (/altname/i.test(message)) {
    const names: unknown = Reflect.get(
      Object(Reflect.get(Object(error), 'cert')),
      'subjectaltname',
    );
    const hosts = [...String(names).matchAll(/DNS:([^\s,]+)/g)].map(([, host]) => host);
    const which = hosts.length === 0 ? '' : `: ${hosts.slice(0, 3).join(', ')}`;
    return ['certificate', `connect by a name that the certificate is for${which}`];
  }
  if (!isCertificate.test(message)) return undefined;
  return [
    'certificate',
    'give the certificate of its CA (ca), and your client the same; NODE_EXTRA_CA_CERTS names a file of it for a whole process',
  ];
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
