/**
 * The lease over the engines' vote, renewed at the supervisor every few seconds; so it is also how a
 * supervisor that hangs is noticed. Clients do not miss it, but a worker that dies is not replaced
 * and no snapshot is taken any more. Killed, it is followed by another like any that dies.
 */
import type { LeaseResult } from '../../endpoint/supervisor-protocol.ts';
import { ControlError } from '../errors.ts';
import type { WatchdogTarget } from './contract.ts';
import { signalTo } from './launch.ts';
import { ANSWER_WAIT_MS, STILL_MS } from './limits.ts';
import type { Peer } from './peer.ts';
import { isStill } from './silence.ts';

export interface LeaseOwner {
  say(reason: string, detail: string): void;
  onVoteGiven(): void;
}

export class Lease {
  readonly #owner: LeaseOwner;
  #targets: readonly WatchdogTarget[] = [];
  #suspecting = false;

  constructor(owner: LeaseOwner) {
    this.#owner = owner;
  }

  /** Without targets: those of the last time. */
  renew(supervisor: Peer | null, targets = this.#targets): void {
    this.#targets = targets;
    if (supervisor === null) return;
    this.#ask(supervisor, ANSWER_WAIT_MS).catch((error: Error) => {
      this.#owner.say('lease', error.message);
      if (!(error instanceof ControlError) || error.code !== 'EndpointLate') return;
      this.#suspect(supervisor).catch((failure) => this.#owner.say('lease', String(failure)));
    });
  }

  /** The engines get their vote at once. If it does not arrive, the watchdog acts ten seconds later. */
  end(supervisor: Peer | null): void {
    const word = { type: 'lease', targets: this.#targets, end: true };
    supervisor?.request(word as { type: string }, ANSWER_WAIT_MS).catch(() => {});
  }

  async #ask(supervisor: Peer, ms: number): Promise<void> {
    const word = { type: 'lease', targets: this.#targets, end: false };
    const result = await supervisor.request(word as { type: string }, ms);
    if ((result as LeaseResult).expired) this.#owner.onVoteGiven();
  }

  /** It may have answered while we were not running: it is asked once more, and watched meanwhile. */
  async #suspect(supervisor: Peer): Promise<void> {
    if (this.#suspecting) return;
    this.#suspecting = true;
    try {
      const { pid } = supervisor.hello;
      const answered = this.#ask(supervisor, STILL_MS).then(
        () => true,
        () => false,
      );
      const still = await isStill(pid);
      if ((await answered) || !still || !supervisor.open) return;
      this.#owner.say('supervisor-hung', `${pid}: no answer for ${ANSWER_WAIT_MS} ms; killed`);
      signalTo(pid, 'SIGKILL'); // its socket is open, so it is still the one that said hello
    } finally {
      this.#suspecting = false;
    }
  }
}
