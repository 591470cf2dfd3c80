/** What happened and what is happening: `operations`, `events`. */
import { Command } from 'commander';
import type { OperationRecord } from '../../control/store/records.ts';
import { sentence, waitFor, whenBack } from '../api/operations.ts';
import type { EventRow, OperationRow } from '../api/shapes.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { CliError } from '../errors.ts';
import { FOLLOW_MS } from '../limits.ts';
import type { Output } from '../output/output.ts';
import type { Column } from '../output/table.ts';
import { duration, oneLine, printableJson, when } from '../output/text.ts';
import { whole } from '../up/options.ts';
import { type WaitFlags, waitFlags, waitOptions } from './options.ts';

const COLUMNS: readonly Column<OperationRow>[] = [
  { title: 'STARTED', value: (o) => when(o.startedAt) },
  { title: 'KIND', value: (o) => o.kind },
  { title: 'CACHE', value: (o) => o.cluster ?? '-', shrinkTo: 8 },
  { title: 'STATUS', value: (o) => o.status },
  { title: 'TOOK', value: took, align: 'right' },
  { title: 'ID', value: (o) => o.id, shrinkTo: 9 },
];

function took(operation: OperationRecord): string {
  return operation.endedAt === null ? '-' : duration(operation.endedAt - operation.startedAt);
}

type Step = OperationRecord['steps'][number];

const STEP_COLUMNS: readonly Column<Step>[] = [
  { title: 'STEP', value: (step) => sentence(step.name) },
  { title: 'STATE', value: (step) => step.state },
  { title: 'TOOK', value: stepTook, align: 'right' },
  { title: 'HOW FAR', value: (step) => step.detail, shrinkTo: 12 },
];

function stepTook({ startedAt, endedAt }: Step): string {
  return endedAt === null || startedAt === null ? '-' : duration(endedAt - startedAt);
}

const MOST = 1000;

export function operationsCommand(): Command {
  const operations = new Command('operations')
    .summary('what was asked for, and how far it is')
    .addHelpText(
      'after',
      '\nExamples:\n  cinnabar operations\n  cinnabar operations show <id>\n  cinnabar operations cancel <id>',
    );
  operations
    .command('list', { isDefault: true })
    .summary('the newest last, as in a log')
    .option('-n, --last <count>', 'at most this many', '20')
    .action(
      action(async (context: Context, flags: { last: string }) => {
        const list = await context.api().operations(whole('--last', flags.last, 1, MOST));
        context.output.rows(list.toReversed(), COLUMNS, 'No operation yet.');
      }),
    );
  waitFlags(
    operations
      .command('show')
      .summary('one operation and its steps; waits until it ended')
      .argument('<id>'),
  ).action(
    action(async (context: Context, id: string, flags: WaitFlags) => {
      const api = context.api();
      const record = await api.operation(id);
      if (context.output.json) return context.output.data(record);
      context.output.pairs([
        ['Operation', record.id],
        ['Kind', record.kind],
        ['Resource', record.resourceId],
        ['Started', when(record.startedAt)],
        ['Status', record.status],
      ]);
      const wait = waitOptions(flags);
      if (!wait.wait) {
        context.output.line();
        return context.output.rows(record.steps, STEP_COLUMNS, 'No step yet.');
      }
      // Also when it has ended: waiting shows the steps, and throws what a failed one says.
      try {
        await waitFor(api, context.output, id, wait);
      } catch (error) {
        if (!(error instanceof CliError) || error.exit !== 'operationFailed') throw error;
        // Elsewhere its advice is this command.
        const advice = `What happened around it: cinnabar events ${record.cluster ?? ''}`.trimEnd();
        throw new CliError(error.exit, error.code, error.message, advice);
      }
    }),
  );
  waitFlags(
    operations
      .command('cancel')
      .summary('goes back from a change of the number of shards, under load and without loss')
      .argument('<id>'),
  ).action(
    action(async (context: Context, id: string, flags: WaitFlags) => {
      const api = await whenBack(context);
      await api.cancelOperation(id);
      let said = 'It ended as asked for before it was canceled.';
      try {
        await waitFor(api, context.output, id, waitOptions(flags));
      } catch (error) {
        // Here this end is the one that was asked for.
        if (!(error instanceof CliError) || error.code !== 'Canceled') throw error;
        said = error.message;
      }
      if (flags.wait === false) return;
      if (context.output.json) return context.output.data(await api.operation(id));
      context.output.note(said);
    }),
  );
  return operations;
}

const EVENT_COLUMNS: readonly Column<EventRow>[] = [
  { title: 'TIME', value: (e) => when(e.at) },
  { title: 'SEVERITY', value: (e) => e.severity },
  { title: 'CACHE', value: (e) => e.cluster ?? '-', shrinkTo: 8 },
  { title: 'REASON', value: (e) => e.reason, shrinkTo: 12 },
  { title: 'MESSAGE', value: (e) => sentence(e.message), shrinkTo: 20 },
];

export function eventsCommand(): Command {
  return new Command('events')
    .summary('what happened by itself: failovers, restarts, refusals; the newest last')
    .argument('[name]', 'only what concerns this cache')
    .option('-n, --last <count>', 'at most this many', '30')
    .option('-f, --follow', 'and everything new, until Ctrl-C')
    .addHelpText(
      'after',
      '\nExamples:\n  cinnabar events\n  cinnabar events sessions\n  cinnabar events --follow --json',
    )
    .action(
      action(async (context: Context, name: string | undefined, flags: EventFlags) => {
        const api = context.api();
        const of = name === undefined ? {} : { cluster: name };
        const limit = whole('--last', flags.last, 1, MOST);
        const events = inOrder(await api.events({ ...of, limit }));
        if (flags.follow !== true) {
          context.output.rows(events, EVENT_COLUMNS, 'No event yet.');
          return;
        }
        let seen = 0;
        let fresh = events;
        for (;;) {
          for (const event of fresh) {
            seen = Math.max(seen, event.id);
            print(context.output, event);
          }
          await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
          const newer = await api.events({ ...of, since: seen, limit: MOST });
          fresh = inOrder(newer).filter((event) => event.id > seen);
        }
      }),
    );
}

interface EventFlags {
  readonly last: string;
  readonly follow?: boolean;
}

function inOrder(events: readonly EventRow[]): EventRow[] {
  return events.toSorted((a, b) => a.id - b.id);
}

/** One line an event: a stream has no table. */
function print(output: Output, event: EventRow): void {
  output.line(
    output.json
      ? printableJson(event)
      : `${when(event.at)}  ${event.severity.padEnd(7)}  ${oneLine(event.cluster ?? '-')}  ${oneLine(event.reason)}: ${oneLine(event.message)}`,
  );
}
