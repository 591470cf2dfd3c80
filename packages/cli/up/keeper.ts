/**
 * A parent for a control process that lost its own: started by that one, which tells it the options
 * and ends. Then it is the parent of a background start like any other; the next control process
 * adopts what runs.
 */
import type { StartOptions } from '../../control/boot-protocol.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { reportToLauncher } from './detach.ts';
import { runParent } from './parent.ts';

process.once('message', (start: StartOptions) => {
  // The folder is free when the old one is gone, and the channel closes with it.
  process.once('disconnect', () => void keep(start));
});

async function keep(start: StartOptions): Promise<void> {
  const report = reportToLauncher();
  try {
    const code = await runParent({ start, ignoreHangup: true, report });
    report.ended(code);
    process.exitCode = code;
  } catch (error) {
    process.stderr.write(`keeper: ${error instanceof CliError ? error.message : String(error)}\n`);
    process.exitCode = EXIT.failed;
  }
}
