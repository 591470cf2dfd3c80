/**
 * The classic mistakes of systems like this one, each as a small patch. A test must catch each of
 * them: a mutant that survives shows a promise that nothing holds.
 *
 * Each `find` must occur exactly once in the file: code that moved makes the run fail by name, instead
 * of planting nothing and calling it survived or caught.
 */
import { ARRANGE_MUTANTS } from './table-arrange.ts';
import { EDGE_MUTANTS } from './table-edge.ts';
import { KIT_CHECKS, KIT_MUTANTS } from './table-kit.ts';
import { PROXY_CHECKS, PROXY_MUTANTS } from './table-proxy.ts';
import { STOP_MUTANTS } from './table-stop.ts';
import { SWITCH_MUTANTS } from './table-switch.ts';

export interface Edit {
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly name: string;
  /** What an engineer might have believed. */
  readonly mistake: string;
  readonly file: string;
  readonly edits: readonly Edit[];
  /** Checks of which at least one must fail. */
  readonly caughtBy: readonly CheckName[];
}

/** Arguments to the runtime. The simulator's seeds are fixed, so that a verdict repeats. */
export const CHECKS = {
  rules: ['--test', 'packages/control/plan/rules.test.ts'],
  moves: ['--test', 'packages/control/plan/slots.test.ts'],
  arrange: ['--test', 'packages/control/plan/arrange.test.ts'],
  arranged: [
    ...['--test', '--test-name-pattern', 'when the switch is given up'],
    'packages/control/databases/arrange.test.ts',
  ],
  older: ['--test', 'packages/control/plan/older-copy.test.ts'],
  simulation: [
    'packages/control/simulation/main.ts',
    ...['--seed', '1', '--runs', '60', '--steps', '4000', '--few-keys'],
  ],
  switches: [
    'packages/control/simulation/main.ts',
    ...['--focus', 'switches', '--seed', '1', '--runs', '60', '--steps', '2500', '--few-keys'],
  ],
  travel: [
    'packages/control/simulation/main.ts',
    ...['--focus', 'scaling', '--seed', '180', '--runs', '60', '--steps', '4000', '--few-keys'],
  ],
  strangers: [
    'packages/control/simulation/main.ts',
    ...['--focus', 'strangers', '--seed', '1', '--runs', '20', '--steps', '4000', '--few-keys'],
  ],
  databases: ['--test', 'packages/control/databases/databases.test.ts'],
  lease: ['--test', 'packages/control/databases/lease.test.ts'],
  weights: ['--test', 'packages/engine/weights.test.ts'],
  weighing: ['--test', 'packages/control/databases/weigh-engines.test.ts'],
  epoch: [
    ...['--test', '--test-name-pattern', 'refuses an older epoch'],
    'packages/control/endpoints/fleet.test.ts',
  ],
  outcome: [
    ...['--test', '--test-name-pattern', 'a killed primary'],
    'packages/endpoint/proxy/failover.test.ts',
  ],
  scaling: ['--test', 'packages/control/databases/scaling.test.ts'],
  cold: ['--test', 'packages/control/e2e/cold-start-killed.test.ts'],
  wait: [
    ...['--test', '--test-name-pattern', 'WAIT tells the truth'],
    'packages/endpoint/proxy/wait.test.ts',
  ],
  lost: [
    ...['--test', '--test-name-pattern', 'WAIT tells of lost writes'],
    'packages/endpoint/proxy/unconfirmed.test.ts',
  ],
  standing: ['--test', 'packages/endpoint/proxy/standing.test.ts'],
  debts: [
    ...['--test', '--test-name-pattern', 'whatever happens'],
    'packages/endpoint/proxy/unconfirmed.test.ts',
  ],
  listeners: [
    ...['--test', '--test-name-pattern', 'nobody publishes'],
    'packages/endpoint/proxy/overlap.test.ts',
  ],
  kit: ['--test', 'packages/bench/fuzz/fuzz.test.ts'],
  handshake: [
    ...['--test', '--test-name-pattern', 'die in their handshake'],
    'packages/client/lanes/faults.test.ts',
  ],
  fence: ['--test', 'packages/engine/process.test.ts'],
  verdict: ['--test', 'packages/bench/load/verdict.test.ts'],
  faults: ['--test', 'packages/faults/faults.test.ts'],
  digest: ['--test', 'packages/bench/data/dataset.test.ts'],
  slots: ['--test', 'packages/resp/slot.test.ts'],
  options: ['--test', 'packages/resp/table/newer.test.ts'],
  versions: ['--test', 'packages/control/plan/upgrade.test.ts'],
  stop: [
    ...['--test', '--test-name-pattern', 'nobody can write the file'],
    'packages/control/databases/stop.test.ts',
  ],
  turns: ['--test', 'packages/control/databases/save-turns.test.ts'],
  reserve: ['--test', 'packages/control/store/reserve.test.ts'],
  stores: [
    ...['--test', '--test-name-pattern', 'a store with a damaged page'],
    'packages/control/e2e/bad-start.test.ts',
  ],
  ...KIT_CHECKS,
  ...PROXY_CHECKS,
} as const satisfies Record<string, readonly string[]>;

export type CheckName = keyof typeof CHECKS;

const SHARD = 'packages/control/plan/shard.ts';
const SLOTS = 'packages/control/plan/slots.ts';
const CANDIDATE = 'packages/control/plan/candidate.ts';
const FUNCTIONS = 'packages/control/databases/steps/functions.ts';
const ROLES = 'packages/control/databases/steps/roles.ts';
const SLOT_OWNERS = 'packages/control/plan/slot-owners.ts';
const START = 'packages/control/databases/steps/start.ts';
const OWN_PORTS = 'packages/control/databases/steps/own-ports.ts';

export const MUTANTS: readonly Mutant[] = [
  ...ARRANGE_MUTANTS,
  ...SWITCH_MUTANTS,
  ...EDGE_MUTANTS,
  ...KIT_MUTANTS,
  ...PROXY_MUTANTS,
  ...STOP_MUTANTS,
  {
    name: 'port-for-ever',
    mistake: 'the port of an engine that died is free when it starts again',
    file: OWN_PORTS,
    edits: [{ find: 'if (!free.every(Boolean)) found', replace: 'if (free.length === 0) found' }],
    caughtBy: ['strangers'],
  },
  {
    name: 'accepted-is-moved',
    mistake: 'a batch of slots that the engine accepted will arrive',
    file: SLOTS,
    edits: [
      {
        find: '    if (waited > SNAPSHOT_WAIT_MS || isOrphaned(view, move, ends)) {',
        replace:
          "    if (waited >= 0) return void actions.push({ kind: 'end-move', moved: true, reason: 'ok' });\n    {",
      },
    ],
    caughtBy: ['moves', 'simulation'],
  },
  {
    name: 'functions-stay-behind',
    mistake: 'functions travel with the slots',
    file: FUNCTIONS,
    edits: [
      {
        find: '  await to.restoreFunctions(await from.dumpFunctions(FUNCTIONS_DEADLINE_MS), FUNCTIONS_DEADLINE_MS);',
        replace: '',
      },
      { find: 'got?.equals(wanted) !== true', replace: 'got === undefined' },
    ],
    caughtBy: ['scaling', 'simulation'],
  },
  {
    name: 'retired-with-slots',
    mistake: 'a shard that is not wanted can go',
    file: SLOTS,
    edits: [
      {
        find: '  if (batch !== null) return beginWhenFree(context, scaling, batch);',
        replace:
          '  if (batch !== null && batch.source < wanted) return beginWhenFree(context, scaling, batch);',
      },
    ],
    caughtBy: ['moves', 'simulation'],
  },
  {
    name: 'obey-returning-primary',
    mistake: 'a primary that comes back may serve again as what it was',
    file: START,
    edits: [
      {
        find: "if (as === 'follow' && instance.phase === 'dead') {",
        replace:
          "if (as === 'follow') as = 'cold';\n    if (as === 'follow' && instance.phase === 'dead') {",
      },
    ],
    caughtBy: ['simulation', 'databases'],
  },
  {
    name: 'files-not-set-aside',
    mistake: 'what follows will load from its primary anyway, so its old files may stay',
    file: START,
    edits: [{ find: 'await node.setAside(instance.dataDir, String(shard.epoch));', replace: '' }],
    caughtBy: ['simulation'],
  },
  {
    name: 'promote-without-the-lease',
    mistake: 'there is only one control process',
    file: ROLES,
    edits: [
      {
        find: 'loop.lease();\n      requireRoom(loop, id);',
        replace: 'requireRoom(loop, id);',
      },
    ],
    caughtBy: ['lease'],
  },
  {
    name: 'file-of-a-stop-read-twice',
    mistake: 'what an orderly stop saved is as good at the next start as at the first',
    file: ROLES,
    edits: [
      {
        find: "await passing('consume-file', () => node.consumeDataFile(dataDir));",
        replace: "await passing('consume-file', () => Promise.resolve(dataDir));",
      },
    ],
    caughtBy: ['cold', 'simulation'],
  },
  {
    name: 'promote-never-synced',
    mistake: 'any replica is better than none',
    file: CANDIDATE,
    edits: [
      {
        find: 'if (facts.replicationId !== shard.replicationId) {',
        replace: 'if (false) {',
      },
    ],
    caughtBy: ['rules', 'simulation'],
  },
  {
    name: 'promote-behind',
    mistake: 'how far a replica said it was does not matter once it is asked again',
    file: CANDIDATE,
    edits: [
      {
        find: "if (facts.offset < instance.offset) return not('older', 'behind-its-own-report');",
        replace: '',
      },
    ],
    caughtBy: ['rules', 'simulation'],
  },
  {
    name: 'skip-offset-wait',
    mistake: 'a dead primary sends no more, so its replica has everything',
    file: CANDIDATE,
    edits: [
      {
        find: "if (facts.link !== 'down') return not('soon', 'stream-not-read-to-end');",
        replace: '',
      },
    ],
    caughtBy: ['rules', 'simulation'],
  },
  {
    name: 'promote-on-old-facts',
    mistake: 'what the replica said last is good enough',
    file: CANDIDATE,
    edits: [
      {
        find: "if (seen.factsAt <= diedAt) return not('soon', 'not-asked-since');",
        replace: '',
      },
    ],
    caughtBy: ['rules', 'simulation'],
  },
  {
    name: 'skip-epoch-check',
    mistake: 'an engine that says it is primary of these slots is primary of these slots',
    file: SHARD,
    edits: [
      {
        find: 'facts.cluster.epoch > shard.configEpoch &&',
        replace: 'facts.cluster.epoch >= 0 &&',
      },
    ],
    caughtBy: ['rules', 'simulation'],
  },
  {
    name: 'takeover-before-commit',
    mistake: 'the engine first, the record when it worked',
    file: ROLES,
    edits: [
      {
        find: "  if (!repeated) {\n    loop.times.mark(index, 'drained');",
        replace:
          "  if (before.phase === 'serving' && clustered) {\n    await loop.watch(id).link.takeover(VERB_DEADLINE_MS);\n  }\n  if (!repeated) {\n    loop.times.mark(index, 'drained');",
      },
    ],
    caughtBy: ['simulation'],
  },
  {
    name: 'take-over-what-it-believes',
    mistake: 'a replica knows which slots are its primary’s',
    file: SLOT_OWNERS,
    edits: [
      {
        find: 'settled: intersect(claims, subtract(others, moving)),',
        replace: 'settled: intersect(claims, subtract(others, claims)),',
      },
    ],
    caughtBy: ['moves', 'travel'],
  },
  {
    name: 'a-claim-is-always-heard',
    mistake: 'what an engine says on the bus arrives',
    file: 'packages/control/databases/move-watch.ts',
    edits: [{ find: 'if (this.#introductions?.due(now)) void', replace: 'if (now < 0) void' }],
    caughtBy: ['travel'],
  },
  {
    name: 'keys-leave-with-their-slots',
    mistake: 'who takes over from a source has nothing of what went',
    file: 'packages/control/databases/steps/move-slots.ts',
    edits: [
      {
        find: "if (moved && reason === 'primary-changed') await dropLeftovers(loop);",
        replace: 'if (moved) await Promise.resolve(dropLeftovers);',
      },
    ],
    caughtBy: ['travel'],
  },
  {
    name: 'lost-reply-means-failed',
    mistake: 'no answer to TAKEOVER: take another one',
    file: SHARD,
    edits: [
      {
        find: "if (successor === undefined || successor.phase !== 'running') return replaceDead(context);\n  const sight = seen(successor.id);",
        replace:
          "const other = members.find((i) => i.id !== shard.successor && i.phase === 'running');\n  if (successor === undefined || successor.phase !== 'running') return replaceDead(context);\n  if (other !== undefined && seen(successor.id).facts?.role !== 'primary') {\n    return act({ kind: 'promote', shard: shard.index, instance: other.id });\n  }\n  const sight = seen(successor.id);",
      },
    ],
    caughtBy: ['rules', 'simulation'],
  },
  {
    name: 'ignore-lost-reply',
    mistake: 'TAKEOVER was sent, so it happened',
    file: SHARD,
    edits: [
      {
        find: "if (facts.role !== 'primary') {\n    return act({ kind: 'promote', shard: shard.index, instance: successor.id });\n  }",
        replace: '',
      },
    ],
    caughtBy: ['rules', 'simulation'],
  },
  {
    name: 'promote-unfenced',
    mistake: 'a primary that does not answer is dead enough',
    file: SHARD,
    edits: [
      {
        find: "if (sight.condition === 'mute' || sight.condition === 'script') {\n    if (!wholeCopyBeside",
        replace:
          "if (sight.condition === 'mute') return replaceDead(context);\n  if (sight.condition === 'script') {\n    if (!wholeCopyBeside",
      },
    ],
    caughtBy: ['rules', 'simulation'],
  },
  {
    name: 'kill-the-last-copy',
    mistake: 'a primary that hangs is killed, replica or not',
    file: SHARD,
    edits: [
      {
        find: "if (!wholeCopyBeside(context, primary, true)) return wait('mute-without-copy');",
        replace: '',
      },
    ],
    caughtBy: ['rules', 'simulation'],
  },
  {
    name: 'forget-operation-after-restart',
    mistake: 'an operation that was begun belongs to whoever began it',
    file: 'packages/control/store/store.ts',
    edits: [
      {
        find: "'SELECT body FROM operations WHERE open = 1 AND database_id = $databaseId ORDER BY seq'",
        replace:
          '"SELECT body FROM operations WHERE open = 1 AND body LIKE \'%\\"Pending\\"%\' AND database_id = $databaseId ORDER BY seq"',
      },
    ],
    caughtBy: ['simulation', 'databases'],
  },
  {
    name: 'second-process-on-a-folder',
    mistake: 'nobody else starts engines in our folders',
    file: START,
    edits: [
      {
        find: 'await killUnrecorded(loop, loop.instance(id));',
        replace: '',
      },
    ],
    caughtBy: ['simulation', 'databases'],
  },
];
