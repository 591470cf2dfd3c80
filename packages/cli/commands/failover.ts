/** `cinnabar failover`: replicas take over; or an older copy serves when the last one is gone. */
import { Command } from 'commander';
import { waitFor, whenBack } from '../api/operations.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { whole } from '../up/options.ts';
import { type WaitFlags, waitFlags, waitOptions } from './options.ts';

const MOST_SHARDS = 16_384;

interface FailoverFlags extends WaitFlags {
  readonly acceptDataLoss?: boolean;
  readonly shard?: string;
}

export function failoverCommand(): Command {
  const command = new Command('failover')
    .summary('let the replicas take over')
    .description(
      'The replica of each shard becomes its primary, one shard after the other. Nothing is lost; clients wait some milliseconds.',
    )
    .argument('<name>')
    .option('--shard <n>', 'only this one, counted from 0')
    .option('--accept-data-loss', 'let an older copy serve where the last one is gone');
  return waitFlags(command)
    .addHelpText(
      'after',
      `
A shard stays down as 'only-older-copy' when its primary died and the copy that
lives is not provably complete. Nothing but --accept-data-loss lets it serve, and
what that copy lacks is lost for good.

Examples:
  cinnabar failover sessions
  cinnabar failover sessions --shard 2
  cinnabar failover sessions --accept-data-loss --shard 2`,
    )
    .action(
      action(async (context: Context, name: string, flags: FailoverFlags) => {
        const api = await whenBack(context);
        const shard =
          flags.shard === undefined ? {} : { shard: whole('--shard', flags.shard, 0, MOST_SHARDS) };
        const accepted = await api.failover(name, {
          acceptDataLoss: flags.acceptDataLoss === true,
          ...shard,
        });
        const ended = await waitFor(api, context.output, accepted.operation, waitOptions(flags));
        if (context.output.json && ended !== null) context.output.data(ended);
      }),
    );
}
