/**
 * The dead man's rule. While the control process holds its lease it alone promotes, and the engines
 * are told not to vote (`cluster-replica-no-failover yes`). If it does not renew for ten seconds,
 * or leaves in order, the engines get their vote back: with three and more shards the cluster then
 * heals without us. The control process takes it back itself when it returns; `renew` tells it that
 * it has to.
 *
 * Time is monotonic, so a laptop that slept ten hours has not missed a renewal.
 */
import { connect } from 'node:net';
import { LEASE_CHECK_MS, LEASE_MS, WATCHDOG_COMMAND_MS } from '../limits.ts';
import { messageOf, say } from '../say.ts';
import type { LeaseTarget } from '../supervisor-protocol.ts';
import { giveWeightBack } from './full-weight.ts';

export class Watchdog {
  #targets: readonly LeaseTarget[] = [];
  #renewedAt: number | null = null;
  #acted = false;
  #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setInterval(() => this.#check(), LEASE_CHECK_MS);
  }

  /** True when the engines were given their vote since the last renewal. */
  renew(targets: readonly LeaseTarget[]): boolean {
    const acted = this.#acted;
    this.#acted = false;
    this.#targets = targets;
    this.#renewedAt = performance.now();
    return acted;
  }

  /** The holder leaves in order. Resolves when each engine answered or failed to. */
  async end(targets: readonly LeaseTarget[]): Promise<void> {
    this.#targets = targets;
    await this.#act('the control process left');
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    if (this.#renewedAt === null || performance.now() - this.#renewedAt < LEASE_MS) return;
    void this.#act(`no lease renewal for ${LEASE_MS} ms`);
  }

  async #act(why: string): Promise<void> {
    const targets = this.#targets;
    this.#acted = true;
    this.#renewedAt = null;
    if (targets.length === 0) return;
    say('watchdog', `${why}: ${targets.length} engines may vote`);
    giveWeightBack(targets.flatMap(({ process }) => process ?? []));
    const failed: LeaseTarget[] = [];
    await Promise.all(
      targets.map(async (target) => {
        try {
          await allowVote(target);
        } catch (error) {
          failed.push(target);
          say('watchdog', `${target.socket}: ${messageOf(error)}`);
        }
      }),
    );
    // Engines that did not answer (a restart, say) are asked again until somebody renews.
    if (failed.length > 0 && this.#acted && this.#renewedAt === null) {
      this.#targets = failed;
      this.#renewedAt = performance.now();
    }
  }
}

/** Rejects when the engine does not take it. A standalone engine refuses the setting: that is fine. */
function allowVote(target: LeaseTarget): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: target.socket });
    const deadline = setTimeout(
      () => socket.destroy(new Error(`no answer within ${WATCHDOG_COMMAND_MS} ms`)),
      WATCHDOG_COMMAND_MS,
    );
    let text = '';
    let done = false;
    socket.setEncoding('utf8');
    socket.on('connect', () => {
      socket.write(command('AUTH', target.user, target.password));
      socket.write(command('CONFIG', 'SET', 'cluster-replica-no-failover', 'no'));
    });
    socket.on('data', (chunk: string) => {
      text += chunk;
      const [login, set] = text.split('\r\n');
      if (login?.startsWith('-')) socket.destroy(new Error('login refused'));
      else if (set !== undefined && text.split('\r\n').length > 2) {
        if (set.startsWith('-') && !/cluster mode|Unknown option/i.test(set)) {
          socket.destroy(new Error(set.slice(1)));
        } else {
          done = true;
          socket.destroy();
        }
      }
    });
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(deadline);
      if (done) resolve();
      else reject(new Error('closed without an answer')); // after an error this changes nothing
    });
  });
}

function command(...args: readonly string[]): string {
  return `*${args.length}\r\n${args.map((a) => `$${Buffer.byteLength(a)}\r\n${a}\r\n`).join('')}`;
}
