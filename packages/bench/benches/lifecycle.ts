/** From a request to a cache that takes writes, over a restart of the control process, to nothing. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench, Measured } from '../harness/result.ts';
import { MIN_PAIRS, STOP_DEADLINE_MS } from '../limits.ts';
import { inspectProcess, until } from '../processes.ts';
import { rivalEngine } from '../rivals/programs.ts';
import { OurService } from './our-service.ts';

const CACHES = 20;
/** Created at once: more would only queue for two cores. */
const AT_ONCE = 4;
const IDLE_WINDOW_MS = 2_000;
/** What can wait until a start is over (modules that check bodies) is loaded in these. */
const AFTER_START_MS = 10_000;
const MB = 1024 * 1024;

export const lifecycle: Bench = {
  name: 'lifecycle',
  about:
    'Request to first acknowledged SET of a Balanced_B1 with high availability; restart of the control process to adopted; its memory and idle time with 20 caches; what is left after deleting them.',
  async run(context): Promise<Measured[]> {
    const { build } = await rivalEngine('valkey-9');
    context.engine(`${build.name} ${build.version}`);
    const service = await OurService.make();
    context.defer(() => service.destroy());
    const firstStart = await service.start();
    context.say(`control ready after ${(firstStart / 1000).toFixed(2)} s`);

    const create: number[] = [];
    for (let round = 0; round < MIN_PAIRS; round += 1) {
      const { ms } = await service.create(`one-${round}`);
      create.push(ms / 1000);
      await service.remove(`one-${round}`);
    }
    context.say(`create to SET: ${create.map((s) => s.toFixed(2)).join(' ')} s`);

    const filesBefore = new Set(await service.files());
    const processesBefore = service.processes().length;
    const portsBefore = (await service.listening()).length;
    const names = Array.from({ length: CACHES }, (_, i) => `many-${i}`);
    await inBatches(names, async (name) => {
      await service.create(name);
    });
    context.say(`${CACHES} caches, ${service.engines().length} engines`);

    const adopt: number[] = [];
    const engines = service.engines().map(({ pid }) => pid);
    for (let round = 0; round < MIN_PAIRS; round += 1) {
      await service.killControl();
      adopt.push((await service.start()) / 1000);
    }
    const after = new Set(service.engines().map(({ pid }) => pid));
    const restarted = engines.filter((pid) => !after.has(pid)).length;
    context.say(
      `adopt: ${adopt.map((s) => s.toFixed(2)).join(' ')} s; ${restarted} engines restarted`,
    );

    // What the start itself did is not idling.
    await sleep(AFTER_START_MS);
    const rss: number[] = [];
    const cpu: number[] = [];
    for (let round = 0; round < MIN_PAIRS; round += 1) {
      const before = cpuMsOf(service.control.pid);
      const from = performance.now();
      await sleep(IDLE_WINDOW_MS);
      const facts = inspectProcess(service.control);
      const seconds = (performance.now() - from) / 1000;
      cpu.push((cpuMsOf(service.control.pid) - before) / 10 / seconds);
      rss.push(facts.rssBytes / MB);
    }

    await inBatches(names, (name) => service.remove(name));
    let left: string[] = [];
    await until(
      'nothing is left',
      async () => {
        left = await leftBehind(service, filesBefore, processesBefore, portsBefore);
        return left.length === 0;
      },
      STOP_DEADLINE_MS,
    ).catch(() => context.say(`left behind: ${left.join(', ')}`));
    return [
      { metric: 'create_to_set_s', unit: 's', samples: { ours: create } },
      {
        metric: 'adopt_s',
        unit: 's',
        samples: { ours: adopt },
        note: `with ${CACHES} caches; ${restarted} engines were restarted by it`,
        ...(restarted > 0
          ? { void: `${restarted} engines were restarted instead of adopted` }
          : {}),
      },
      { metric: 'control_rss_mb', unit: 'MB', samples: { ours: rss } },
      { metric: 'idle_cpu_percent', unit: '% of a core', samples: { ours: cpu } },
      {
        metric: 'left_behind',
        unit: 'processes, files, ports',
        samples: { ours: [left.length] },
        ...(left.length > 0 ? { note: left.slice(0, 5).join(', ') } : {}),
      },
    ];
  },
};

/** Of all its threads, as the scheduler counts it: in ticks 1 % of two seconds would be two of them. */
function cpuMsOf(pid: number): number {
  const tasks = readdirSync(`/proc/${pid}/task`);
  const ns = tasks.map((task) =>
    Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0]),
  );
  return ns.reduce((sum, each) => sum + each, 0) / 1_000_000;
}

/** The log and the store grow by design; what a cache had for itself must be gone. */
const GROWS = /(^|\/)(logs?|control\.log|.*\.sqlite.*|.*\.db(-wal|-shm)?)(\/|$)/;

async function leftBehind(
  service: OurService,
  filesBefore: ReadonlySet<string>,
  processesBefore: number,
  portsBefore: number,
): Promise<string[]> {
  const files = (await service.files()).filter((f) => !filesBefore.has(f) && !GROWS.test(f));
  const processes = service.processes();
  const ports = await service.listening();
  return [
    ...files.map((file) => `file ${file}`),
    ...(processes.length > processesBefore ? service.engines() : []).map((p) => `process ${p.pid}`),
    ...(ports.length > portsBefore ? ports : []).map((port) => `port ${port}`),
  ];
}

async function inBatches<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
