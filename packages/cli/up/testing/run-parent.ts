/** Runs the parent over the fake control process, as `up` does; for the tests of the parent. */
import { Output } from '../../output/output.ts';
import { moduleFile } from '../../self.ts';
import { runParent } from '../parent.ts';
import { render } from '../render.ts';

const home = process.argv[2] ?? '';
const output = new Output(process.stdout, process.stderr, process.env, false);
const report = render(output, () => output.line('READY'));
const code = await runParent({
  start: { home, runDir: home, engineCache: home, listen: [], domain: null },
  ignoreHangup: process.argv.includes('--ignore-hangup'),
  report,
  program: moduleFile('cli/up/testing/fake-control'),
});
report.ended(code);
process.exitCode = code;
