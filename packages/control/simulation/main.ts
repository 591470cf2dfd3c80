/**
 * Runs the simulator from the command line:
 *   node packages/control/simulation/main.ts [--seed n] [--runs n] [--steps n]
 *     [--faults n] [--focus switches|storm|scaling|strangers] [--few-keys] [--verbose]
 * `--faults n`: as many runs as it takes to come to n faults.
 * `--few-keys`: no shard is arranged before it gives keys away, as for the kept seeds.
 * A failing seed is printed with its time line and replays with `--seed`.
 */
import { parseArgs } from 'node:util';
import { simulate } from './run.ts';
import { FOCI } from './scenario.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    runs: { type: 'string', default: '1' },
    steps: { type: 'string', default: '1000' },
    faults: { type: 'string' },
    focus: { type: 'string', default: 'anything' },
    'few-keys': { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});

const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
const focus = FOCI.find((each) => each === values.focus) ?? 'anything';
const wanted = values.faults === undefined ? null : Number(values.faults);
let [steps, faults, writes, kills, crashes] = [0, 0, 0, 0, 0];
let [accepted, slots, stops, switches, arranging, arranged] = [0, 0, 0, 0, 0, 0];
for (let run = 0; wanted === null ? run < Number(values.runs) : faults < wanted; run++) {
  const result = await simulate({
    seed: first + run,
    steps: Number(values.steps),
    focus,
    fewKeys: values['few-keys'],
  });
  faults += result.faults;
  steps += result.steps;
  writes += result.safeWrites;
  kills += result.kills;
  crashes += result.crashes;
  accepted += result.accepted;
  slots += result.slotsMoved;
  stops += result.stops;
  switches += result.switches;
  arranging += result.arranging;
  arranged += result.arranged;
  if (values.verbose && result.error === null) console.log(result.timeline.join('\n'));
  if (result.error !== null) {
    console.error(result.timeline.join('\n'));
    console.error(`seed ${result.seed} failed at step ${result.steps}: ${result.error}`);
    process.exit(1);
  }
}
console.log(
  `${steps} steps from seed ${first}: ${faults} faults, among them ${kills} kills and ${crashes} crashes of the control process; ${slots} slots moved, ${stops} orderly stops, ${switches} planned switches, ${arranged} of ${arranging} shards put in order before they gave, ${accepted} older copies let serve, ${writes} writes kept`,
);
process.exit(0);
