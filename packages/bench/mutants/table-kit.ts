/** Mistakes about the order of commands on a key, and about what runs twice, over the cluster clients that the kit wraps. */
import type { Mutant } from './table.ts';

const ADAPTERS = 'packages/client/adapters';

export const KIT_CHECKS = {
  kitSlots: ['--test', 'packages/client/adapters/node-redis-slots.test.ts'],
  kitMulti: ['--test', 'packages/client/lanes/cluster-multi.test.ts'],
  kitNodes: [
    ...['--test', '--test-name-pattern', 'what goes to the new node of a slot'],
    'packages/client/lanes/cluster-nodes.test.ts',
  ],
  kitReconnects: ['--test', 'packages/client/lanes/cluster-reconnects.test.ts'],
  kitIdle: ['--test', 'packages/client/lanes/idle-cluster.test.ts'],
  kitCuts: [
    ...['--test', '--test-name-pattern', 'cuts, seed'],
    'packages/client/lanes/order-cuts-cluster.test.ts',
  ],
} as const satisfies Record<string, readonly string[]>;

export const KIT_MUTANTS: readonly Mutant[] = [
  {
    name: 'kit-overtakes-what-waits',
    mistake: 'what can go goes, whatever waits on its slot',
    file: `${ADAPTERS}/ioredis-route.ts`,
    edits: [
      {
        find: 'if (this.#held.size > 0 && ordered.some((slot) => this.#held.has(slot))) return false;',
        replace: '',
      },
    ],
    caughtBy: ['kitMulti'],
  },
  {
    name: 'kit-held-goes-last',
    mistake: 'what a node refused is asked for anew, behind what waits',
    file: `${ADAPTERS}/ioredis-route.ts`,
    edits: [
      {
        find: 'while (at > 0 && (unsent[at - 1]?.asked ?? 0) > item.asked) at -= 1;',
        replace: '',
      },
    ],
    caughtBy: ['kitMulti'],
  },
  {
    name: 'kit-slot-on-two-nodes',
    mistake:
      'what goes to the new node of a slot need not wait for what is under way to the old one',
    file: `${ADAPTERS}/ioredis-underway.ts`,
    edits: [
      {
        find: 'return this.#at[slot] === node && (this.#last[slot] ?? 0) <= behind;',
        replace: 'return node !== undefined && behind >= 0;',
      },
    ],
    caughtBy: ['kitNodes'],
  },
  {
    name: 'kit-lost-did-not-run',
    mistake: 'a call whose connection to a node has ended did not run',
    file: `${ADAPTERS}/ioredis-cluster.ts`,
    edits: [
      {
        find: 'if (call instanceof IoCall) route.lost(call, written, cause);',
        replace: 'if (call instanceof IoCall) route.lost(call, written && false, cause);',
      },
    ],
    caughtBy: ['kitCuts'],
  },
  {
    name: 'kit-refused-transaction-in-company',
    mistake:
      'what is asked for while a refused transaction is under way again comes after it anyway',
    file: `${ADAPTERS}/ioredis-route.ts`,
    edits: [{ find: 'this.#alone.set(item, slotsOf(item));', replace: '' }],
    caughtBy: ['kitMulti'],
  },
  {
    name: 'kit-passes-who-waits',
    mistake: 'an attempt at the node where all is under way need not wait behind another one',
    file: `${ADAPTERS}/node-redis-slots.ts`,
    edits: [
      {
        find: 'return alone !== undefined || waiting.length > 0 || (under > 0 && slot.node !== node);',
        replace:
          'return (alone !== undefined && waiting.length < 0) || (under > 0 && slot.node !== node);',
      },
    ],
    caughtBy: ['kitSlots'],
  },
  {
    name: 'kit-transaction-too-late',
    mistake: 'a transaction that was refused can be made again whatever has run since',
    file: `${ADAPTERS}/node-redis-slots.ts`,
    edits: [{ find: '        passed(slot, turn);\n', replace: '' }],
    caughtBy: ['kitSlots'],
  },
  {
    name: 'kit-transaction-did-not-run',
    mistake: 'a transaction whose connection has ended did not run',
    file: `${ADAPTERS}/node-redis-cluster-batch.ts`,
    edits: [
      {
        find: 'if (!this.#refused && (this.parts.at(-1)?.writtenAt ?? 0) > 0)',
        replace:
          'return batchLost(this.#pool, this, lane, error, written ? undefined : undefined);',
      },
    ],
    caughtBy: ['kitCuts'],
  },
  {
    name: 'kit-fleet-in-one-moment',
    mistake: 'who has lost a connection to a node may connect again at once',
    file: `${ADAPTERS}/node-redis-cluster.ts`,
    edits: [{ find: '...(this.#staggered ? { reconnectIn } : {}),', replace: '' }],
    caughtBy: ['kitReconnects'],
  },
  {
    name: 'kit-listens-to-nobody',
    mistake: 'a subscription that hears nothing has nothing to hear',
    file: `${ADAPTERS}/ioredis-lanes.ts`,
    edits: [{ find: 'look: () => listening?.attach(),', replace: 'look: () => listening,' }],
    caughtBy: ['kitIdle'],
  },
];
