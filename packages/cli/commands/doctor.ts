/** `cinnabar doctor`: looks at everything that commonly goes wrong and says what to do. */
import { Command } from 'commander';
import { isUnderWay } from '../api/absent.ts';
import { readControlFile } from '../api/client.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { ownCertificates } from '../doctor/certificates.ts';
import type { Finding } from '../doctor/check.ts';
import { engineFinding } from '../doctor/engine.ts';
import { machineFindings } from '../doctor/machine.ts';
import { apiFinding, apiUnderWay, firstPort } from '../doctor/network.ts';
import { certificate, disk, folderFinding, orphans, secretFiles } from '../doctor/places.ts';
import { EXIT } from '../exit-codes.ts';
import { isAlive } from '../orphans.ts';
import { oneLine } from '../output/text.ts';

export function doctorCommand(): Command {
  return new Command('doctor')
    .summary('check everything that commonly goes wrong')
    .addHelpText(
      'after',
      '\nExit code 9 when something needs to be repaired.\n\nExamples:\n  cinnabar doctor\n  cinnabar doctor --json',
    )
    .action(
      action(async (context: Context) => {
        const findings = await examine(context);
        const { output } = context;
        if (output.json) output.data(findings);
        else for (const finding of findings) print(context, finding);
        const bad = findings.filter((finding) => finding.state === 'fail').length;
        const odd = findings.filter((finding) => finding.state === 'warn').length;
        if (bad > 0) process.exitCode = EXIT.unhealthy;
        if (!output.json) {
          output.line(bad + odd === 0 ? '\nAll well.' : `\n${bad} to repair, ${odd} to know.`);
        }
      }),
    );
}

async function examine(context: Context): Promise<Finding[]> {
  const { folders } = context;
  const file = readControlFile(folders.home);
  const control = file !== null && isAlive(file.pid) ? file : null;
  // What runs and listens then is its own, though it cannot be asked.
  const underWay = control === null && isUnderWay(folders.home);
  return [
    ...machineFindings(),
    await engineFinding(folders.engineCache),
    folderFinding('home', 'Data folder', folders.home),
    folderFinding('run', 'Socket folder', folders.runDir),
    folderFinding('engines', 'Engine folder', folders.engineCache),
    secretFiles(folders.home),
    disk(folders.home),
    certificate(control, Date.now()),
    await ownCertificates(control, context.api),
    await firstPort(control !== null || underWay),
    underWay ? apiUnderWay() : await apiFinding(control, context.api),
    orphans(folders, control !== null || underWay),
  ];
}

const TITLE_WIDTH = 18;

function print(context: Context, finding: Finding): void {
  const { output } = context;
  const mark = {
    ok: output.paint('green', '\u2713', output.out),
    warn: output.paint('yellow', '!', output.out),
    fail: output.paint('red', '\u2717', output.out),
  }[finding.state];
  output.line(
    `${mark} ${finding.title.padEnd(TITLE_WIDTH)} ${oneLine(output.typed(finding.detail))}`,
  );
  if (finding.state !== 'ok') {
    output.line(`  ${' '.repeat(TITLE_WIDTH)} ${output.typed(finding.remedy)}`);
  }
}
