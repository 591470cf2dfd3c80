/** `cinnabar endpoint reload`. */
import { Command } from 'commander';
import type { Context } from '../context.ts';
import { action } from '../context.ts';

export function endpointCommand(): Command {
  const endpoint = new Command('endpoint').summary('the processes that clients connect to');
  endpoint
    .command('reload')
    .summary('replace every worker without refusing a connection')
    .addHelpText(
      'after',
      `
A successor starts on the same sockets first; then the old worker takes no new
clients and ends each of its own between two commands (after 30 s: anyway).
Client libraries connect again by themselves.

Examples:
  cinnabar endpoint reload
  cinnabar endpoint reload --json`,
    )
    .action(
      action(async (context: Context) => {
        const { workers: all } = await context.api().reloadEndpoint();
        const workers = all.filter((worker) => worker.state !== 'draining');
        const pids = workers.map((worker) => worker.pid).join(', ');
        if (context.output.json) context.output.data({ workers });
        else context.output.line(`The endpoint's workers are new: ${pids}`);
      }),
    );
  return endpoint;
}
