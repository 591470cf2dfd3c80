/** `cinnabar certificate show`, `set` and `reset`. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import type { CertificateInfo } from '../api/shapes.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { CliError } from '../errors.ts';
import { when } from '../output/text.ts';

export function certificateCommand(): Command {
  const certificate = new Command('certificate').summary('what a cache shows to TLS clients');
  certificate
    .command('show')
    .summary('subject, names, issuer, expiry')
    .argument('<name>')
    .addHelpText('after', '\nExamples:\n  cinnabar certificate show sessions')
    .action(
      action(async (context: Context, name: string) =>
        print(context, await context.api().certificate(name)),
      ),
    );
  certificate
    .command('set')
    .summary('serve a certificate of your own')
    .argument('<name>')
    .requiredOption('--cert <file>', 'PEM: the certificate, then its issuers')
    .requiredOption('--key <file>', 'PEM: its private key, without a passphrase')
    .addHelpText(
      'after',
      `
It is served on the cache's own port; with OSSCluster the shard ports keep ours,
unless they are the endpoint's (--shard-access relayed).
New connections get it at once; open ones go on.

Examples:
  cinnabar certificate set sessions --cert chain.pem --key key.pem`,
    )
    .action(
      action(async (context: Context, name: string, files: { cert: string; key: string }) => {
        const cert = readPem('--cert', files.cert);
        const key = readPem('--key', files.key);
        print(context, await context.api().setCertificate(name, cert, key));
      }),
    );
  certificate
    .command('reset')
    .summary('go back to a certificate of this installation')
    .argument('<name>')
    .addHelpText('after', '\nExamples:\n  cinnabar certificate reset sessions')
    .action(
      action(async (context: Context, name: string) =>
        print(context, await context.api().resetCertificate(name)),
      ),
    );
  return certificate;
}

function readPem(option: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CliError(
      'usage',
      'file-not-readable',
      `${option}: ${path.resolve(file)} cannot be read: ${why}.`,
      'Name a PEM file that you may read; nothing was changed.',
    );
  }
}

function print({ output }: Context, certificate: CertificateInfo): void {
  if (output.json) output.data(certificate);
  else {
    output.pairs([
      ['Subject', certificate.subject.replaceAll('\n', ', ')],
      ['Issuer', certificate.issuer.replaceAll('\n', ', ')],
      ['Names', certificate.names.join(', ')],
      ['Expires', when(Date.parse(certificate.expiresAt))],
      ['Generation', `${certificate.generation} (${certificate.origin})`],
    ]);
  }
  if (certificate.problem !== null) output.warn(certificate.problem);
  if (certificate.applied === false) {
    output.warn('the endpoint does not serve it yet; it is told again until it does');
  }
}
