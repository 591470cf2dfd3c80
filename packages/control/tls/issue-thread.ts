/** The thread that makes certificates for issuer.ts, which says why there is one. */
import { parentPort } from 'node:worker_threads';
import type { Answer, Asked } from '../../engine/index.ts';
import { type CaRequest, issueCa, issueLeaf, type LeafRequest } from './issue.ts';

export type IssueRequest =
  | { readonly kind: 'ca'; readonly request: CaRequest }
  | { readonly kind: 'leaf'; readonly request: LeafRequest };

/** The result is PEM. */
const say = (answer: Answer<string>): void => parentPort?.postMessage(answer);

parentPort?.on('message', (asked: Asked<IssueRequest>) => {
  const { id } = asked;
  const made = asked.kind === 'ca' ? issueCa(asked.request) : issueLeaf(asked.request);
  made.then(
    (result) => say({ id, result }),
    (error: unknown) => say({ id, failure: String(error) }),
  );
});
