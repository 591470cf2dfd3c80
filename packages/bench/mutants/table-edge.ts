/** Mistakes outside of the plan: in the endpoint, the client kit, the node, and in what judges all of them. */
import type { Mutant } from './table.ts';

export const EDGE_MUTANTS: readonly Mutant[] = [
  {
    name: 'light-for-ever',
    mistake: 'who has given way is like everybody else as soon as it is not named any more',
    file: 'packages/control/databases/weigh-engines.ts',
    edits: [
      {
        find: "return [{ process, weight: isFilling(instance, primary) ? 'light' : 'full' }];",
        replace: "return isFilling(instance, primary) ? [{ process, weight: 'light' }] : [];",
      },
    ],
    caughtBy: ['weighing'],
  },
  {
    name: 'weight-is-not-given-back',
    mistake: 'a refused write can be left: it is about speed only',
    file: 'packages/engine/weights.ts',
    edits: [
      {
        find: 'nice !== null && nice !== NICE[wanted];',
        replace: 'nice !== null && nice < NICE[wanted];',
      },
    ],
    caughtBy: ['weights'],
  },
  {
    name: 'a-word-is-an-option',
    mistake: 'whatever looks like an option of a newer engine is one',
    file: 'packages/resp/table/newer.ts',
    edits: [
      {
        find: 'given.length <= MOST_ARGUMENTS_READ && fits(known, given)',
        replace: 'given.length > MOST_ARGUMENTS_READ && fits(known, given)',
      },
    ],
    caughtBy: ['options'],
  },
  {
    name: 'any-engine-reads-any-file',
    mistake: 'an older engine can start from the file of a newer one',
    file: 'packages/control/plan/upgrade.ts',
    edits: [
      {
        find: 'fromFiles && isOlder(wanted, instance.engine)',
        replace: 'fromFiles && instance.engine === wanted',
      },
    ],
    caughtBy: ['versions'],
  },
  {
    name: 'obey-a-stale-epoch',
    mistake: 'whatever control says is what it knows now',
    file: 'packages/endpoint/worker/worker.ts',
    edits: [{ find: 'if (snapshot.epoch < this.#epoch) {', replace: 'if (false) {' }],
    caughtBy: ['epoch'],
  },
  {
    name: 'send-a-write-again',
    mistake: 'a command without an answer is sent again, as a read is',
    file: 'packages/endpoint/proxy/lane-loss.ts',
    edits: [
      {
        find: 'if (!command.readonly || p.attempts > 0) return false;',
        replace: 'if (p.attempts > 0) return false;',
      },
      { find: 'if (!executing) return true;', replace: 'return true;' },
    ],
    caughtBy: ['outcome'],
  },
  {
    name: 'wait-on-any-connection',
    mistake: 'WAIT may be asked on any connection to the shard',
    file: 'packages/endpoint/proxy/wait.ts',
    edits: [
      {
        find: 'asked === undefined || count === 0) {',
        replace: 'asked === undefined || count >= 0) {',
      },
    ],
    caughtBy: ['wait'],
  },
  {
    name: 'wait-forgets-what-was-lost',
    mistake: 'the connection that carries the next write can be asked about the one that was lost',
    file: 'packages/endpoint/proxy/unconfirmed.ts',
    edits: [{ find: "if (!same) this.#lost = 'untold';", replace: '' }],
    caughtBy: ['lost'],
  },
  {
    name: 'wait-asks-the-last-lane',
    mistake:
      'the connection of the last write knows of all before it, also if that one wrote nothing',
    file: 'packages/endpoint/proxy/unconfirmed.ts',
    edits: [
      { find: 'if (same && other !== lane && !settled(other, debt)) continue;', replace: '' },
    ],
    caughtBy: ['lost'],
  },
  {
    name: 'wait-for-a-place-of-before',
    mistake: 'how far the stream was when somebody else had asked is good enough for this write',
    file: 'packages/endpoint/proxy/standing.ts',
    edits: [{ find: 'asked?.has(question) === true', replace: 'asked !== undefined' }],
    caughtBy: ['standing'],
  },
  {
    name: 'wait-in-another-stream',
    mistake: 'a place in the stream of a primary that died means the same in that of its successor',
    file: 'packages/endpoint/proxy/unconfirmed.ts',
    edits: [
      {
        find: 'if (earlier === undefined || earlier.lineage === shard.lineage) return;',
        replace: 'if (earlier !== undefined || earlier === undefined) return;',
      },
    ],
    caughtBy: ['debts'],
  },
  {
    name: 'publish-before-listeners',
    mistake: 'a worker whose own listeners are subscribed on a new primary lets its clients go on',
    file: 'packages/endpoint/proxy/listeners-first.ts',
    edits: [{ find: 'if (!across.single) await', replace: 'if (across.single) await' }],
    caughtBy: ['listeners'],
  },
  {
    name: 'handshake-of-the-dead',
    mistake: 'what the library still keeps in its queue will be answered on the next connection',
    file: 'packages/client/adapters/ioredis-link.ts',
    edits: [
      {
        find: 'if (socket !== undefined) adopt(socket, false);',
        replace: 'if (socket !== undefined) adopt(socket, redis.commandQueue.length > 0);',
      },
      {
        find: 'if (quiet) for (const sent of wire.reset()) answered(sent, performance.now());',
        replace: '',
      },
    ],
    caughtBy: ['handshake'],
  },
  {
    name: 'stop-forgets-the-living',
    mistake: 'after a stop nothing of a shard is alive: what was not saved starts empty',
    file: 'packages/control/plan/shard.ts',
    edits: [
      { find: '    if (stoppedUnsaved(shard) && leftByStop(context)) return;\n', replace: '' },
    ],
    caughtBy: ['older'],
  },
  {
    name: 'scanner-goes-on-lost',
    mistake: 'after a byte that begins no reply the next one may',
    file: 'packages/client/wire/scanner.ts',
    edits: [{ find: '      if (this.#lost) return end;\n', replace: '' }],
    caughtBy: ['kit'],
  },
  {
    name: 'unknown-is-refused',
    mistake: 'a write without an answer did not happen',
    file: 'packages/bench/load/verdict.ts',
    edits: [
      {
        find: 'if (n < 1 || n > attempts.last || outcome === OUTCOME.refused) {',
        replace: 'if (n < 1 || n > attempts.last || outcome !== OUTCOME.acknowledged) {',
      },
    ],
    caughtBy: ['verdict'],
  },
  {
    name: 'digest-blind-to-expiry',
    mistake: 'when a key expires is no part of its value',
    file: 'packages/bench/data/digest.ts',
    edits: [
      {
        find: 'form.put(textOf(expires));',
        replace: '',
      },
    ],
    caughtBy: ['digest'],
  },
  {
    name: 'fault-outlives-its-owner',
    mistake: 'whoever sets a fault also takes it back',
    file: 'packages/faults/guardian.ts',
    edits: [
      {
        find: 'await Promise.all([...pending.keys()].map(undo));',
        replace: '',
      },
    ],
    caughtBy: ['faults'],
  },
  {
    name: 'a-pid-is-a-process',
    mistake: 'a pid names one process for ever',
    file: 'packages/engine/procfs.ts',
    edits: [
      {
        find: 'if (stat === null || stat.startTicks !== process.startTicks) return GONE;',
        replace: 'if (stat === null) return GONE;',
      },
    ],
    caughtBy: ['fence', 'faults'],
  },
];
