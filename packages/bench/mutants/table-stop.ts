/** Mistakes about ends: of a stop, of the room on a disk, of a process that may only wait. */
import type { Mutant } from './table.ts';

const STOP = 'packages/control/databases/stop.ts';

export const STOP_MUTANTS: readonly Mutant[] = [
  {
    name: 'stop-ends-what-it-could-not-save',
    mistake: 'a stop ends engines, whatever became of their files',
    file: STOP,
    edits: [
      {
        find: "const ending = this.#shards.filter(({ outcome }) => outcome.kind !== 'held');",
        replace: 'const ending = this.#shards;',
      },
    ],
    caughtBy: ['stop'],
  },
  {
    name: 'stop-is-never-refused',
    mistake: 'who asks for a stop wants it at any price',
    file: STOP,
    edits: [
      {
        find: 'const refused = mayRefuse && stops.some((stop) => stop.held);',
        replace: 'const refused = false;',
      },
    ],
    caughtBy: ['stop'],
  },
  {
    name: 'switch-into-the-stop',
    mistake: 'a switch takes milliseconds, so it may begin at any time',
    file: 'packages/control/plan/handover.ts',
    edits: [{ find: "  if (view.stopping) return wait('stopping', null);\n", replace: '' }],
    caughtBy: ['rules'],
  },
  {
    name: 'every-file-is-written-in-two-minutes',
    mistake: 'a deadline that no small cache needs is long enough for all',
    file: 'packages/control/databases/save-turns.ts',
    edits: [
      {
        find: 'this.deadlineMs = SAVE_DEADLINE_MS + writingMs(bytes);',
        replace: 'this.deadlineMs = SAVE_DEADLINE_MS + writingMs(bytes * 0);',
      },
    ],
    caughtBy: ['turns'],
  },
  {
    name: 'full-disk-keeps-its-reserve',
    mistake: 'what is held back for a full disk is for later',
    file: 'packages/control/store/tables.ts',
    edits: [
      {
        find: 'if (!isDiskFull(error) || !this.#makeRoom()) throw error;',
        replace: 'if (isDiskFull(error) || !this.#makeRoom()) throw error;',
      },
    ],
    caughtBy: ['reserve'],
  },
  {
    name: 'emptied-store-is-a-first-start',
    mistake: 'a store that knows no cache is that of a new installation',
    file: 'packages/control/store/open.ts',
    edits: [
      { find: '  if (!knowsNothing(file)) return;\n', replace: '  if (file !== "") return;\n' },
    ],
    caughtBy: ['stores'],
  },
  {
    name: 'device-wait-is-a-hang',
    mistake: 'a process that does nothing and does not answer hangs',
    file: 'packages/endpoint/supervision/hang.ts',
    edits: [
      {
        find: "const idle = look?.letter === 'S' && look.cpuTicks === last?.cpuTicks;",
        replace: 'const idle = look !== null && look.cpuTicks === last?.cpuTicks;',
      },
    ],
    caughtBy: ['hang'],
  },
];
