/**
 * Making certificates without stopping the one who asks.
 *
 * A certificate is some milliseconds of JavaScript, a new cache needs four, and the library that makes
 * them takes 0.2 s to load. On the control process' own loop that is time in which a shard of another
 * cache waits for its switch. So a thread does it. It ends when it has had nothing to do for a while,
 * because its memory is wanted more often than its certificates.
 */
import { extname } from 'node:path';
import { HelperThread } from '../../engine/index.ts';
import type { CaRequest, LeafRequest, Signer } from './issue.ts';
import type { IssueRequest } from './issue-thread.ts';
import { ISSUER_IDLE_MS } from './limits.ts';

const thread = new HelperThread<IssueRequest, string>({
  // Built, it is another file.
  file: new URL(`./issue-thread${extname(import.meta.url)}`, import.meta.url),
  does: 'makes it',
  oldMb: 64,
  youngMb: 4,
  idleMs: ISSUER_IDLE_MS,
});

/** A CA's certificate, PEM: see `issue.ts`. */
export function issueCa(request: CaRequest): Promise<string> {
  const { signer } = request;
  return thread.ask({
    kind: 'ca',
    request: { ...request, signer: signer === null ? null : bare(signer) },
  });
}

/** A server's or an engine's certificate, PEM, without its chain: see `issue.ts`. */
export function issueLeaf(request: LeafRequest): Promise<string> {
  return thread.ask({ kind: 'leaf', request: { ...request, signer: bare(request.signer) } });
}

/** Callers' signers know more than can be sent. */
function bare({ certificatePem, keys }: Signer): Signer {
  return { certificatePem, keys };
}
