/** Mistakes in how a shard's keys are brought into the order of slots before it gives them away. */
import type { Mutant } from './table.ts';

const ARRANGE = 'packages/control/plan/arrange.ts';

export const ARRANGE_MUTANTS: readonly Mutant[] = [
  {
    name: 'arrange-the-only-copy',
    mistake: 'a switch loses nothing, so it may carry the only copy, too',
    file: ARRANGE,
    edits: [
      {
        find: 'if (sizing.replicas === 0 || scaling.canceled) return false;',
        replace: 'if (scaling.canceled) return false;',
      },
    ],
    caughtBy: ['arrange'],
  },
  {
    name: 'arranged-by-a-copy-on-its-way-out',
    mistake: 'a copy that is whole is whole, whatever is planned with it',
    file: ARRANGE,
    edits: [
      {
        find: "if (instance.phase !== 'running' || !instance.synced) return false;",
        replace: 'if (!instance.synced) return false;',
      },
    ],
    caughtBy: ['arrange'],
  },
  {
    name: 'old-copies-stay',
    mistake: 'a replica serves nobody, so it does not matter how long it takes to delete',
    file: ARRANGE,
    edits: [
      {
        find: "return older === undefined ? null : { kind: 'dismiss', instance: older.id };",
        replace: 'return null;',
      },
    ],
    caughtBy: ['arrange'],
  },
  {
    name: 'arrange-for-ever',
    mistake: 'a switch that was given up comes about the next time',
    file: 'packages/control/databases/steps/handover-end.ts',
    edits: [
      {
        find: "if (loop.database().scaling?.arranging?.shard === index) noteArranged(loop, 'switch-given-up');",
        replace: 'void noteArranged;',
      },
    ],
    caughtBy: ['arranged'],
  },
];
