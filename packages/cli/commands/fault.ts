/** `cinnabar fault`: rehearse a failure; undone at its end, by Ctrl-C, and when this process dies. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Command, Option } from 'commander';
import { clockEnvironment, fakeTimeLibrary, NO_FAKE_TIME } from '../../faults/index.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { kindsForHelp, TARGETS } from '../fault/kinds.ts';
import { type FaultFlags, requestOf } from '../fault/request.ts';
import { type FaultEvent, runFault } from '../fault/run.ts';
import { findTarget } from '../fault/target.ts';
import { usage } from '../fault/units.ts';
import { printableJson } from '../output/text.ts';

interface Flags extends FaultFlags {
  readonly clockEnvironment?: boolean;
}

export function faultCommand(): Command {
  return new Command('fault')
    .summary('rehearse a failure, undone at its end')
    .argument('[name]', 'the cache')
    .argument('[kind]', 'what happens')
    .option('--for <time>', 'how long: 500ms, 30s, 2m')
    .addOption(new Option('--target <what>', 'on which part').choices(TARGETS))
    .option('--shard <n>', 'of which shard (default: 0)')
    .option('--worker <n>', 'which endpoint worker (default: 0)')
    .option('--delay <time>', 'slow, slow-disk: how much later')
    .option('--rate <size>', 'slow: bytes a second, such as 100kb')
    .addOption(
      new Option('--direction <way>', 'slow, cut: to the server or to the client').choices([
        'up',
        'down',
      ]),
    )
    .addOption(new Option('--gone <end>', 'half-open: which').choices(['server', 'client']))
    .addOption(new Option('--how <how>', 'refuse: in which way').choices(['reset', 'mute']))
    .option('--headroom <size>', 'memory: how much more it may take')
    .option('--jump <time>', 'clock: by how much it is off, such as -2h')
    .option('--point <step:before|after>', 'failpoint: where')
    .addOption(new Option('--effect <what>', 'failpoint: which').choices(['crash', 'hang', 'fail']))
    .option('--in-place', 'cut, reset: on the real port, as root')
    .option('--listen <port>', 'of the proxy (default: a free one)')
    .option('--before <time>', 'the proxy passes everything for this long first')
    .option('--after <time>', 'and for this long afterwards')
    .option('--clock-environment', 'what to start with so that clocks can jump')
    .addHelpText(
      'after',
      `
Kinds:
${kindsForHelp()}

Faults of the network are set in a proxy, whose address is printed: connect to
that one. With --in-place they meet every client, and replicas too.

Examples:
  cinnabar fault sessions kill
  cinnabar fault sessions hang --target replica --shard 1 --for 5s
  cinnabar fault sessions slow --delay 200ms --for 30s --before 10s --after 10s
  cinnabar fault sessions cut --direction up --for 10s --listen 16380
  cinnabar fault sessions full-disk --for 1m
  cinnabar fault sessions kill --target worker
More: docs/rehearse-failures.md`,
    )
    .action(
      action(async (context: Context, name?: string, kind?: string, flags: Flags = {}) => {
        if (flags.clockEnvironment === true) return printClockEnvironment(context);
        if (name === undefined || kind === undefined) {
          throw usage(`Which fault, on which cache? For example: cinnabar fault sessions kill`);
        }
        const request = requestOf(name, kind, flags);
        const api = context.api();
        const target = await findTarget(api, request);
        let current = new AbortController();
        for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
          process.on(signal, () => current.abort());
        }
        const phase = (): AbortSignal => {
          current = new AbortController();
          return current.signal;
        };
        await runFault(api, request, target, (event) => print(context, event), phase);
      }),
    );
}

function print({ output }: Context, event: FaultEvent): void {
  if (output.json) output.line(printableJson(event));
  else if (event.event === 'listening') {
    output.line(`listening on ${event.host}:${event.port}, in front of port ${event.to}`);
  } else output.line(`${event.target}: ${event.what}: ${event.event}`);
}

/** For `eval "$(cinnabar fault --clock-environment)"` in the shell that then starts Cinnabar. */
async function printClockEnvironment({ output, folders }: Context): Promise<void> {
  mkdirSync(folders.home, { recursive: true, mode: 0o700 });
  const file = path.join(folders.home, 'clock-offset');
  writeFileSync(file, NO_FAKE_TIME);
  const env = clockEnvironment(await fakeTimeLibrary(), file);
  if (output.json) output.data(env);
  else for (const [key, value] of Object.entries(env)) output.line(`export ${key}='${value}'`);
}
