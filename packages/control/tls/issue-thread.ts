/** The thread that makes certificates for issuer.ts, which says why there is one. */
import { parentPort } from 'node:worker_threads';
import { type CaRequest, issueCa, issueLeaf, type LeafRequest } from './issue.ts';

export type IssueRequest = { readonly id: number } & (
  | { readonly kind: 'ca'; readonly request: CaRequest }
  | { readonly kind: 'leaf'; readonly request: LeafRequest }
);

export type IssueAnswer = { readonly id: number } & (
  | { readonly pem: string }
  | { readonly failure: string }
);

const say = (answer: IssueAnswer): void => parentPort?.postMessage(answer);

parentPort?.on('message', (asked: IssueRequest) => {
  const { id } = asked;
  const made = asked.kind === 'ca' ? issueCa(asked.request) : issueLeaf(asked.request);
  made.then(
    (pem) => say({ id, pem }),
    (error: unknown) => say({ id, failure: String(error) }),
  );
});
