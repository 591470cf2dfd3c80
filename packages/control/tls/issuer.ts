/**
 * Making certificates without stopping the one who asks.
 *
 * A certificate is some milliseconds of JavaScript, a new cache needs four, and the library that makes
 * them takes 0.2 s to load. On the control process' own loop that is time in which a shard of another
 * cache waits for its switch. So a thread does it. It ends when it has had nothing to do for a while,
 * because its memory is wanted more often than its certificates.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { CaRequest, LeafRequest, Signer } from './issue.ts';
import type { IssueAnswer, IssueRequest } from './issue-thread.ts';
import { ISSUER_IDLE_MS } from './limits.ts';

/** Built, it is another file. */
const THREAD = new URL(`./issue-thread${extname(import.meta.url)}`, import.meta.url);
const LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 };

type Wanted =
  | { readonly kind: 'ca'; readonly request: CaRequest }
  | { readonly kind: 'leaf'; readonly request: LeafRequest };

class Issuer {
  readonly #thread: Worker;
  readonly #waiting = new Map<number, PromiseWithResolvers<string>>();
  #last = 0;
  #idle: NodeJS.Timeout | undefined;
  ended = false;

  constructor() {
    this.#thread = new Worker(THREAD, { resourceLimits: LIMITS, execArgv: [], stdin: false });
    this.#thread.on('message', (answer: IssueAnswer) => this.#heard(answer));
    this.#thread.on('error', (error) => this.#end(`the thread that makes it failed: ${error}`));
    this.#thread.on('exit', () => this.#end('the thread that makes it ended'));
  }

  make(wanted: Wanted): Promise<string> {
    clearTimeout(this.#idle);
    // Nobody is kept from ending by the thread itself, but by what it was asked for.
    this.#thread.ref();
    const id = ++this.#last;
    const waiting = Promise.withResolvers<string>();
    this.#waiting.set(id, waiting);
    this.#thread.postMessage({ id, ...wanted } satisfies IssueRequest);
    return waiting.promise;
  }

  #heard(answer: IssueAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) {
      this.#thread.unref();
      this.#idle = setTimeout(() => this.#leave(), ISSUER_IDLE_MS).unref();
    }
    if ('pem' in answer) waiting?.resolve(answer.pem);
    else waiting?.reject(new Error(answer.failure));
  }

  #leave(): void {
    this.ended = true;
    void this.#thread.terminate();
  }

  #end(reason: string): void {
    this.ended = true;
    clearTimeout(this.#idle);
    for (const { reject } of this.#waiting.values()) reject(new Error(reason));
    this.#waiting.clear();
  }
}

let issuer: Issuer | null = null;

function make(wanted: Wanted): Promise<string> {
  if (issuer === null || issuer.ended) issuer = new Issuer();
  return issuer.make(wanted);
}

/** A CA's certificate, PEM: see `issue.ts`. */
export function issueCa(request: CaRequest): Promise<string> {
  const { signer } = request;
  return make({
    kind: 'ca',
    request: { ...request, signer: signer === null ? null : bare(signer) },
  });
}

/** A server's or an engine's certificate, PEM, without its chain: see `issue.ts`. */
export function issueLeaf(request: LeafRequest): Promise<string> {
  return make({ kind: 'leaf', request: { ...request, signer: bare(request.signer) } });
}

/** Callers' signers know more than can be sent. */
function bare({ certificatePem, keys }: Signer): Signer {
  return { certificatePem, keys };
}
