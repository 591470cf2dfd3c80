/**
 * A thread that does one kind of work for whoever asks: spawner.ts and the control process' issuer.ts say
 * which, and why not on their own loop. It is started when it is first asked. One that fails takes what
 * was asked of it along, with the reason, and the next request starts another one.
 */
import { Worker } from 'node:worker_threads';

/** What such a thread is sent. */
export type Asked<Request> = Request & { readonly id: number };

/** What it answers: each request once, and beside that what it has to say by itself. */
export type Answer<Result, News = never> =
  | { readonly id: number; readonly result: Result }
  | { readonly id: number; readonly failure: string }
  | { readonly news: News };

export interface HelperOptions<News> {
  readonly file: URL;
  /** As in `the thread that <does> failed`. */
  readonly does: string;
  readonly oldMb: number;
  readonly youngMb: number;
  /** It ends after this long without work; never, if absent. */
  readonly idleMs?: number;
  readonly onNews?: (news: News) => void;
}

interface Waiting<Result> extends PromiseWithResolvers<Result> {
  readonly done: (result: Result) => void;
}

export class HelperThread<Request extends object, Result, News = never> {
  readonly #options: HelperOptions<News>;
  readonly #waiting = new Map<number, Waiting<Result>>();
  #thread: Worker | null = null;
  #last = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(options: HelperOptions<News>) {
    this.#options = options;
  }

  /** `done` is called before anything that the thread says later. */
  ask(request: Request, done: (result: Result) => void = () => {}): Promise<Result> {
    clearTimeout(this.#idle);
    this.#thread ??= this.#start();
    // Nobody is kept from ending by the thread itself, but by what it was asked for.
    this.#thread.ref();
    const id = ++this.#last;
    const waiting = { ...Promise.withResolvers<Result>(), done };
    this.#waiting.set(id, waiting);
    this.#thread.postMessage({ ...request, id } satisfies Asked<Request>);
    return waiting.promise;
  }

  #start(): Worker {
    const { file, does, oldMb, youngMb } = this.#options;
    const resourceLimits = { maxOldGenerationSizeMb: oldMb, maxYoungGenerationSizeMb: youngMb };
    const thread = new Worker(file, { resourceLimits, execArgv: [], stdin: false });
    thread.on('message', (answer: Answer<Result, News>) => this.#heard(answer));
    thread.on('error', (error) => this.#end(thread, `the thread that ${does} failed: ${error}`));
    thread.on('exit', () => this.#end(thread, `the thread that ${does} ended`));
    return thread;
  }

  #heard(answer: Answer<Result, News>): void {
    if ('news' in answer) {
      this.#options.onNews?.(answer.news);
      return;
    }
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#rest();
    if ('failure' in answer) waiting?.reject(new Error(answer.failure));
    else {
      waiting?.done(answer.result);
      waiting?.resolve(answer.result);
    }
  }

  #rest(): void {
    this.#thread?.unref();
    const { idleMs } = this.#options;
    if (idleMs !== undefined) this.#idle = setTimeout(() => this.#leave(), idleMs).unref();
  }

  #leave(): void {
    const thread = this.#thread;
    this.#thread = null;
    void thread?.terminate();
  }

  /** One that left when it had nothing to do may end after the next one has begun. */
  #end(thread: Worker, reason: string): void {
    if (this.#thread !== thread) return;
    this.#thread = null;
    clearTimeout(this.#idle);
    for (const { reject } of this.#waiting.values()) reject(new Error(reason));
    this.#waiting.clear();
  }
}
