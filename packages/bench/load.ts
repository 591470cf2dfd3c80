/** `npm run load`: open-loop load on a cache of a running Cinnabar, every acknowledged write checked. */
import { parseArgs } from 'node:util';
import { ApiClient } from '../cli/api/client.ts';
import { CliError } from '../cli/errors.ts';
import { foldersFrom } from '../cli/folders.ts';
import { BROKE_OFF, command, oneOf, say, WrongCall, wholeNumber } from './command.ts';
import { startLoad } from './load/generator.ts';
import { PROFILES } from './load/profile.ts';
import type { LoadReport } from './load/report.ts';

const PROFILE_NAMES = Object.keys(PROFILES) as (keyof typeof PROFILES)[];
const USAGE = `usage: npm run -s load -- <cache> [--rate n] [--seconds n] [--connections n] [--profile name]
                                  [--threads n] [--home folder] [--json]

Requests arrive by their own clock, so a stall is seen by each that fell due in it. With the profile
"witness" every acknowledged write is read back afterwards: lost, doubled and reordered ones are shown
with time and connection. Run it beside cinnabar fault. Ctrl-C ends it early, with the report.
  --rate n          requests a second (1000)      --seconds n       how long (10)
  --connections n   (20)                          --threads n       (1)
  --profile name    ${PROFILE_NAMES.join(', ')} (witness)
  --home folder     of the Cinnabar, else $CINNABAR_HOME or the usual one
  --json            the report on standard output
Its keys, named witness:... and key:..., stay in the cache.
Exit code: 0 every write accounted for, 1 one was not, 2 a wrong call, 3 it could not run.`;

const OPTIONS = {
  rate: { type: 'string', default: '1000' },
  seconds: { type: 'string', default: '10' },
  connections: { type: 'string', default: '20' },
  threads: { type: 'string', default: '1' },
  profile: { type: 'string', default: 'witness' },
  home: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;
const MOST_RATE = 1_000_000;
const MOST_SECONDS = 24 * 60 * 60;
const MOST_CONNECTIONS = 10_000;
const MOST_THREADS = 64;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
  const [name, ...rest] = positionals;
  if (name === undefined || rest.length > 0) throw new WrongCall('which cache? One name, please');
  const profile = PROFILES[oneOf('--profile', values.profile, PROFILE_NAMES)];
  const connections = wholeNumber('--connections', values.connections, 1, MOST_CONNECTIONS);
  const threads = wholeNumber('--threads', values.threads, 1, Math.min(MOST_THREADS, connections));
  const rate = wholeNumber('--rate', values.rate, 1, MOST_RATE);
  const seconds = wholeNumber('--seconds', values.seconds, 1, MOST_SECONDS);
  const { target, cluster } = await found(name, foldersFrom(process.env, values.home).home);
  const load = await startLoad({
    targets: [target],
    cluster,
    profile,
    connections,
    threads,
    pace: { kind: 'open', rate, arrivals: 'poisson' },
    durationMs: seconds * 1_000,
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => load.stop());
  const report = await load.report;
  const { latency: _latency, lag: _lag, timeline: _timeline, ...figures } = report;
  if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`);
  else process.stdout.write(`${inWords(report)}\n`);
  if (report.ok === 0) {
    say('not one request succeeded');
    return BROKE_OFF;
  }
  return wrongs(report) === 0 ? 0 : 1;
}

async function found(name: string, home: string) {
  const api = ApiClient.forHome(home);
  const { database } = await api.cache(name);
  if (database === null) throw new WrongCall(`'${name}' has no database yet`);
  const { clientProtocol, clusteringPolicy, port } = database.properties;
  return {
    cluster: clusteringPolicy === 'OSSCluster',
    target: {
      host: 'localhost',
      port,
      username: 'default',
      password: (await api.keys(name)).primaryKey,
      ...(clientProtocol === 'Plaintext' ? {} : { tls: { ca: api.control.caFile } }),
    },
  };
}

function wrongs({ verification }: LoadReport): number {
  if (verification === null) return 0;
  const { lost, duplicated, reordered, impossible, unread } = verification;
  return lost + duplicated + reordered + impossible + unread.length;
}

function inWords(report: LoadReport): string {
  const { latencyMs: ms, longestGap, verification } = report;
  const at = (time: number): string => new Date(time).toISOString();
  return [
    `${report.ok} requests succeeded in ${report.seconds.toFixed(1)} s, ${Math.round(report.rate)} a second`,
    `latency from the moment each was due: p50 ${ms.p50.toFixed(2)}, p99 ${ms.p99.toFixed(2)}, p99.9 ${ms.p999.toFixed(2)}, max ${ms.max.toFixed(2)} ms`,
    `longest gap of one connection: ${longestGap.ms.toFixed(0)} ms, from ${at(longestGap.at)} (${longestGap.connection})`,
    ...Object.entries(report.errors).map(([text, count]) => `error ${text}: ${count}`),
    ...(report.shed > 0 ? [`${report.shed} arrivals were not sent: too many on the way`] : []),
    ...(report.generatorLimited === null
      ? []
      : [`the generator was the limit: ${report.generatorLimited}`]),
    ...(verification === null
      ? ['writes were not checked: this profile has no witnesses']
      : [
          `writes: ${verification.acknowledged} acknowledged, ${verification.lost} lost, ${verification.duplicated} duplicated, ${verification.reordered} reordered, ${verification.impossible} impossible, ${verification.unknown} of unknown outcome`,
          ...verification.unread.map((what) => `could not be read back: ${what}`),
          ...verification.examples.map((e) => `${e.kind}: ${JSON.stringify(e)}`),
        ]),
  ].join('\n');
}

await command(USAGE, async () => {
  try {
    return await main();
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    say(`${error.message}\n${error.remedy}`.trim());
    return BROKE_OFF;
  }
});
