/**
 * Runs the simulator from the command line:
 *   node packages/control/simulation/main.ts [--seed n] [--runs n] [--steps n]
 *     [--focus switches] [--verbose]
 * A failing seed is printed with its time line and replays with `--seed`.
 */
import { parseArgs } from 'node:util';
import { simulate } from './run.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    runs: { type: 'string', default: '1' },
    steps: { type: 'string', default: '1000' },
    focus: { type: 'string', default: 'anything' },
    verbose: { type: 'boolean', default: false },
  },
});

const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
let [steps, writes, kills, crashes, accepted, slots, stops, switches] = [0, 0, 0, 0, 0, 0, 0, 0];
for (let run = 0; run < Number(values.runs); run++) {
  const result = await simulate({
    seed: first + run,
    steps: Number(values.steps),
    focus: values.focus === 'switches' ? 'switches' : 'anything',
  });
  steps += result.steps;
  writes += result.safeWrites;
  kills += result.kills;
  crashes += result.crashes;
  accepted += result.accepted;
  slots += result.slotsMoved;
  stops += result.stops;
  switches += result.switches;
  if (values.verbose || result.error !== null) console.log(result.timeline.join('\n'));
  if (result.error !== null) {
    console.log(`seed ${result.seed} failed at step ${result.steps}: ${result.error}`);
    process.exit(1);
  }
}
console.log(
  `${steps} steps from seed ${first}: ${kills} kills, ${crashes} crashes of the control process, ${slots} slots moved, ${stops} orderly stops, ${switches} planned switches, ${accepted} older copies let serve, ${writes} writes kept`,
);
process.exit(0);
