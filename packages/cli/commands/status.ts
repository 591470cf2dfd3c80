/** `cinnabar status`: what runs, where, and whether it is well. Shows no secret. */
import path from 'node:path';
import { Command } from 'commander';
import { TOKEN_FILE } from '../../control/boot-protocol.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { bytes, duration, plural } from '../output/text.ts';
import { wayBack } from '../output/way-back.ts';
import { row } from './show.ts';

export function statusCommand(): Command {
  return new Command('status')
    .summary('what runs, where, and whether it is well')
    .addHelpText(
      'after',
      '\nExit code 6 when nothing runs, 75 while a start or stop is under way.\n\nExamples:\n  cinnabar status\n  cinnabar status --json',
    )
    .action(
      action(async (context: Context) => {
        const api = context.api();
        const [status, caches] = await Promise.all([api.status(), api.caches()]);
        const rows = caches.map(row);
        const { output } = context;
        if (output.json) {
          output.data({ ...status, caches: rows });
          return;
        }
        const { engine, endpoint, capacity } = status;
        output.pairs([
          ['Cinnabar', `${status.version} (build ${status.build}), pid ${status.pid}`],
          ['Up for', duration(Date.now() - status.startedAt)],
          ['Engine', `${engine.name} ${engine.version} (${engine.origin})`],
          ['API', [status.api.http, status.api.https].filter((url) => url !== null).join('  ')],
          ['Endpoint', `pid ${endpoint.pid ?? '-'}, ${plural(endpoint.workers.length, 'worker')}`],
          ['Listens on', ['127.0.0.1', '::1', ...status.listen].filter(once).join(', ')],
          ['Domain', status.domain],
          [
            'Memory',
            `${bytes(capacity.freeBytes)} free for caches, ${bytes(capacity.reservedBytes)} reserved`,
          ],
          ['API token', path.join(status.home, TOKEN_FILE)],
          ['CA certificate', status.caFile],
          ['Data folder', status.home],
        ]);
        output.line();
        const troubled = rows.filter((r) => r.state !== 'Running');
        output.line(
          rows.length === 0
            ? output.typed('No cache yet. Make one: cinnabar create my-cache')
            : `${plural(rows.length, 'cache')}, ${troubled.length === 0 ? 'all running' : `${troubled.length} not running: ${troubled.map((r) => `${r.name} (${r.state})`).join(', ')}`}`,
        );
        for (const { cluster, database } of caches) {
          const upgrade = database?.properties.cinnabar?.upgrade;
          if (upgrade !== undefined) output.line(`${cluster.name}, way back: ${wayBack(upgrade)}`);
        }
        for (const warning of status.warnings) output.warn(warning);
        process.exitCode = EXIT.ok;
      }),
    );
}

const once = (value: string, index: number, all: readonly string[]): boolean =>
  all.indexOf(value) === index;
