/** `cinnabar keys list` and `keys regenerate`. */
import { Command, Option } from 'commander';
import { noDatabase } from '../api/refusal.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { connectionString } from '../output/connection.ts';

export function keysCommand(): Command {
  const keys = new Command('keys').summary('access keys of a cache');
  keys
    .command('list')
    .summary('both keys, and the connection string')
    .argument('<name>')
    .addHelpText(
      'after',
      '\nExamples:\n  cinnabar keys list quickstart\n  cinnabar keys list quickstart --json',
    )
    .action(
      action(async (context: Context, name: string) => {
        const api = context.api();
        const { cluster, database } = await api.cache(name);
        if (database === null) throw noDatabase(name);
        const both = await api.keys(name);
        const url = connectionString(cluster, database, both.primaryKey);
        if (context.output.json) context.output.data({ ...both, connectionString: url });
        else {
          context.output.pairs([
            ['Primary', both.primaryKey],
            ['Secondary', both.secondaryKey],
            ['Connect with', url],
          ]);
        }
        if (database.properties.accessKeysAuthentication === 'Disabled') {
          context.output.warn(
            `access keys are off, so these do not log in. Turn them on: cinnabar update ${name} --access-keys on`,
          );
        }
      }),
    );
  keys
    .command('regenerate')
    .summary('make a new key; the old value stops working')
    .argument('<name>')
    .addOption(
      new Option('--key <which>', 'which one')
        .choices(['Primary', 'Secondary'])
        .makeOptionMandatory(),
    )
    .option(
      '--disconnect',
      'OSSCluster: also end the connections of this user, whichever key they used',
    )
    .addHelpText(
      'after',
      `
Move clients to the other key first; then nobody notices.

Examples:
  cinnabar keys regenerate sessions --key Secondary
  cinnabar keys regenerate sessions --key Primary --disconnect`,
    )
    .action(
      action(
        async (context: Context, name: string, flags: { key: string; disconnect?: boolean }) => {
          const both = await context
            .api()
            .regenerateKey(name, flags.key, flags.disconnect === true);
          if (context.output.json) context.output.data(both);
          else {
            context.output.pairs([
              ['Primary', both.primaryKey],
              ['Secondary', both.secondaryKey],
            ]);
          }
        },
      ),
    );
  return keys;
}
