/** Mistakes in how a worker shares itself among its clients, and in how it leaves them. */
import type { Mutant } from './table.ts';

export const PROXY_CHECKS = {
  hang: ['--test', 'packages/endpoint/supervision/hang.test.ts'],
  drain: ['--test', '--test-timeout=30000', 'packages/endpoint/proxy/drain.test.ts'],
  merges: ['--test', 'packages/endpoint/proxy/merges.test.ts'],
  sharedTurn: [
    ...['--test', '--test-name-pattern', 'many such clients share a turn'],
    'packages/endpoint/proxy/turns.test.ts',
  ],
} as const;

const DRAIN = 'packages/endpoint/proxy/drain.ts';

export const PROXY_MUTANTS: readonly Mutant[] = [
  {
    name: 'all-leave-at-once',
    mistake: 'what the kernel had of no client before the first one left, it has of none',
    file: DRAIN,
    edits: [
      { find: 'if (stale()) await askKernel();', replace: 'if (askedAt < 0) await askKernel();' },
    ],
    caughtBy: ['drain'],
  },
  {
    name: 'leave-within-a-burst',
    mistake: 'a client whose command is answered has nothing more to ask',
    file: DRAIN,
    edits: [
      {
        find: 'return now >= pausesUntil || now - session.activeAt >= DRAIN_SILENT_MS;',
        replace: 'return true;',
      },
    ],
    caughtBy: ['drain'],
  },
  {
    name: 'a-place-for-everybody',
    mistake: 'who asks for what all shards have to answer may begin at once',
    file: 'packages/endpoint/proxy/merges.ts',
    edits: [
      {
        find: 'return this.#places.size + this.#granted.size < MERGES;',
        replace: 'return this.#places.size < 100 * MERGES;',
      },
    ],
    caughtBy: ['merges'],
  },
  {
    name: 'nobody-is-behind',
    mistake: 'who does not read what all shards answered is asked for on like anybody else',
    file: 'packages/endpoint/proxy/merges.ts',
    edits: [
      {
        find: 'if (session.output.unwritten > CLIENT_HIGH_WATER) {',
        replace: 'if (session.output.unwritten > 1000 * CLIENT_HIGH_WATER) {',
      },
    ],
    caughtBy: ['merges'],
  },
  {
    name: 'a-turn-for-each',
    mistake: 'each client that waits may go on for a whole turn',
    file: 'packages/endpoint/proxy/world.ts',
    edits: [
      {
        find: 'if (performance.now() - this.now > TURN_ALL_MS) break;',
        replace: 'if (done > woken.length) break;',
      },
    ],
    caughtBy: ['sharedTurn'],
  },
];
