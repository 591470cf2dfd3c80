/** Sets one fault, says when it is on and when it is gone, and takes it back however this ends. */
import { readFileSync, statfsSync } from 'node:fs';
import {
  cutPort,
  type Fault,
  FaultError,
  Faults,
  FaultyNetwork,
  faultTool,
  inspectProcess,
  MAX_FILL_BYTES,
  type ProcessRef,
  resetPort,
} from '../../faults/index.ts';
import type { ApiClient } from '../api/client.ts';
import { CliError } from '../errors.ts';
import type { FaultRequest } from './request.ts';
import type { Target } from './target.ts';

/** What `--json` prints, one a line. */
export type FaultEvent =
  | {
      readonly event: 'listening';
      readonly host: string;
      readonly port: number;
      readonly to: number;
    }
  | {
      readonly event: 'on' | 'undone' | 'done';
      readonly fault: string;
      readonly target: string;
      readonly pid: number | null;
      readonly what: string;
    };

export type Say = (event: FaultEvent) => void;

/** A signal that ends what is going on now (Ctrl-C): the time before, the fault, or the time after. */
export type Phase = () => AbortSignal;

/** Throws CliError. */
export async function runFault(
  api: ApiClient,
  request: FaultRequest,
  target: Target,
  say: Say,
  phase: Phase,
): Promise<void> {
  const faults = new Faults();
  const tell = (event: 'on' | 'undone' | 'done', what: string): void =>
    say({
      event,
      fault: request.kind,
      target: target.what,
      pid: target.process?.pid ?? null,
      what,
    });
  try {
    if (request.kind === 'kill') {
      await faults.kill(processOf(target));
      tell('done', `process ${processOf(target).pid} is gone`);
    } else if (request.kind === 'failpoint') {
      await failpoint(request, api, tell, phase());
    } else if (target.address !== null && isNetwork(request)) {
      await network(request, target.address, faults, say, tell, phase);
    } else {
      const fault = await onProcess(request, target, faults);
      await held(fault, (event, what) => tell(event, replaced(event, target) ?? what), phase());
    }
  } catch (error) {
    if (!(error instanceof FaultError)) throw error;
    throw new CliError('failed', error.code, `${error.message}.`, REMEDIES[error.code] ?? '');
  } finally {
    await faults.close();
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  'needs-faketime':
    'Start Cinnabar anew with a clock that can jump: cinnabar fault --clock-environment says how.',
  'needs-ptrace': 'Only root, or the same user where the kernel lets it, may trace a process.',
  'needs-net-admin': 'Run it as root, or leave --in-place out and connect through the proxy.',
  'already-on': 'Wait until that one is undone; faults of different kinds go together.',
  'cannot-listen': 'Choose another port with --listen, or leave it out: any free one is taken.',
  'process-gone': 'It ended meanwhile. See what runs: cinnabar show <name>',
};

function isNetwork({ kind }: FaultRequest): boolean {
  return ['slow', 'cut', 'reset', 'half-open', 'refuse'].includes(kind);
}

function processOf(target: Target): ProcessRef {
  if (target.process === null) throw new Error(`${target.what} is no process`);
  return target.process;
}

async function held(fault: Fault, tell: Tell, stop: AbortSignal): Promise<void> {
  tell('on', fault.what);
  stop.addEventListener('abort', () => void fault.end(), { once: true });
  if (stop.aborted) await fault.end();
  await fault.ended;
  tell('undone', fault.what);
}

/** A process that others took for dead is not what the end of the fault has brought back. */
function replaced(event: FaultEvent['event'], target: Target): string | null {
  const ref = processOf(target);
  if (event !== 'undone' || inspectProcess(ref).state !== 'gone') return null;
  return `process ${ref.pid} was ended meanwhile: nothing is left to be undone`;
}

type Tell = (event: 'on' | 'undone' | 'done', what: string) => void;

async function onProcess(request: FaultRequest, target: Target, faults: Faults): Promise<Fault> {
  const ref = processOf(target);
  const { forMs } = request;
  switch (request.kind) {
    case 'hang':
      return faults.stop(ref, forMs);
    case 'memory':
      return faults.memoryLimit(ref, addressSpace(ref) + request.headroomBytes, forMs);
    case 'clock':
      return faults.jump(Faults.clockOf(ref), request.jumpSeconds, forMs);
    case 'slow-disk': {
      const strace = await faultTool('strace');
      return faults.disk(ref, { delayMs: request.delayMs ?? 0 }, forMs, { strace });
    }
    case 'full-disk': {
      const { folder } = target;
      if (folder !== null && isSmall(folder)) return faults.fullDisk(folder, forMs);
      return faults.disk(ref, { error: 'ENOSPC' }, forMs, { strace: await faultTool('strace') });
    }
    default:
      throw new Error(`${request.kind} is not set on a process`);
  }
}

function isSmall(folder: string): boolean {
  const { bsize, blocks } = statfsSync(folder);
  return bsize * blocks <= MAX_FILL_BYTES;
}

function addressSpace(ref: ProcessRef): number {
  const text = readFileSync(`/proc/${ref.pid}/status`, 'latin1');
  return Number(/^VmSize:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
}

async function network(
  request: FaultRequest,
  address: { readonly host: string; readonly port: number },
  faults: Faults,
  say: Say,
  tell: Tell,
  phase: Phase,
): Promise<void> {
  if (request.inPlace) {
    if (request.kind === 'reset') {
      await resetPort(address.port);
      tell('done', `connections of port ${address.port} reset`);
      return;
    }
    const nft = await faultTool('nft');
    await held(
      await cutPort(faults, address.port, request.direction, request.forMs, nft),
      tell,
      phase(),
    );
    return;
  }
  const proxy = await FaultyNetwork.open(address, request.listen);
  try {
    say({ event: 'listening', host: '127.0.0.1', port: proxy.port, to: address.port });
    await over(request.beforeMs, phase());
    if (request.kind === 'reset') tell('done', `${proxy.reset()} connections reset`);
    else await held(onProxy(request, proxy), tell, phase());
    await over(request.afterMs, phase());
  } finally {
    await proxy.close();
  }
}

function onProxy(request: FaultRequest, proxy: FaultyNetwork): Fault {
  const { forMs, direction, delayMs, bytesPerSecond } = request;
  switch (request.kind) {
    case 'slow':
      return proxy.slow(
        direction,
        {
          ...(delayMs === null ? {} : { delayMs }),
          ...(bytesPerSecond === null ? {} : { bytesPerSecond }),
        },
        forMs,
      );
    case 'cut':
      return proxy.cut(direction, forMs);
    case 'half-open':
      return proxy.halfOpen(request.gone, forMs);
    case 'refuse':
      return proxy.refuse(request.how, forMs);
    default:
      throw new Error(`${request.kind} is not set on a connection`);
  }
}

function over(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const end = (): void => {
      clearTimeout(timer);
      resolve();
    };
    stop.addEventListener('abort', end, { once: true });
    if (stop.aborted) end();
  });
}

/** The control process itself ends it after its time, so nobody has to watch over this command. */
async function failpoint(
  { point, effect, forMs }: FaultRequest,
  api: ApiClient,
  tell: Tell,
  stop: AbortSignal,
): Promise<void> {
  await api.setFailpoint({ point, effect, forMs });
  tell('on', `${point}=${effect}`);
  await over(forMs, stop);
  // Whoever crashed has forgotten it; its successor may not be there yet.
  const { reached } = await api.failpoint().catch(() => ({ reached: 'crashed' }));
  await api.clearFailpoint().catch(() => undefined);
  tell('undone', `${point}=${effect} (${reached === null ? 'not reached' : 'reached'})`);
}
