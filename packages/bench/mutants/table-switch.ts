/** Mistakes in the order of a planned switch: each loses a write, or tells an engine what nobody decided. */
import type { Mutant } from './table.ts';

const HANDOVER = 'packages/control/databases/steps/handover.ts';

export const SWITCH_MUTANTS: readonly Mutant[] = [
  {
    name: 'switch-without-equal-offsets',
    mistake: 'a replica whose link is up has everything',
    file: HANDOVER,
    edits: [
      {
        find: "if (follows && copy.link === 'up' && copy.offset >= offset) {",
        replace: "if (follows && copy.link === 'up' && offset >= 0) {",
      },
    ],
    caughtBy: ['switches'],
  },
  {
    name: 'switch-unpauses-early',
    mistake: 'once the successor said OK the old primary may speak again',
    file: HANDOVER,
    edits: [
      {
        find: "    await reach('tell:after');",
        replace: "    await old.unpause(SWITCH_VERB_MS);\n    await reach('tell:after');",
      },
    ],
    caughtBy: ['switches'],
  },
  {
    name: 'switch-without-pause',
    mistake: 'the hold at the endpoint is enough: nobody else writes',
    file: HANDOVER,
    edits: [
      {
        find: '    old.pauseWrites(SWITCH_PAUSE_MS, SWITCH_VERB_MS),',
        replace: '    Promise.resolve(),',
      },
    ],
    caughtBy: ['switches'],
  },
  {
    name: 'switch-told-before-its-commit',
    mistake: 'the record can follow when the engine has obeyed',
    file: HANDOVER,
    edits: [
      {
        find: '    decide(change, pausedAt);',
        replace: '    await change.next.takeover(SWITCH_VERB_MS);\n    decide(change, pausedAt);',
      },
    ],
    caughtBy: ['switches'],
  },
  {
    name: 'switch-ends-before-the-old-one-obeys',
    mistake: 'the old primary will hear of it in a moment',
    file: HANDOVER,
    edits: [
      {
        find: "if (stream.role === 'replica') return { old: stream, next: says };",
        replace: 'return { old: stream, next: says };',
      },
    ],
    caughtBy: ['switches'],
  },
  {
    name: 'switch-to-a-stranger',
    mistake: 'a replica that is in sync is known to its primary',
    file: HANDOVER,
    edits: [
      {
        find: 'some(({ id, primaryId }) => id === to && primaryId === from)',
        replace: 'some(({ id }) => id === to)',
      },
    ],
    caughtBy: ['switches'],
  },
];
