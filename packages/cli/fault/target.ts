/** From `--target primary --shard 2` to the process and the address that it is now. */
import type { ShardStatus } from '../../control/service.ts';
import { type ProcessRef, refOf } from '../../faults/index.ts';
import type { ApiClient } from '../api/client.ts';
import { noDatabase } from '../api/refusal.ts';
import { CliError } from '../errors.ts';
import type { TargetName } from './kinds.ts';

export interface Asked {
  readonly cache: string;
  readonly target: TargetName;
  readonly shard: number;
  readonly worker: number;
}

export interface Target {
  readonly name: TargetName;
  /** For people: 'primary of shard 0 of sessions'. */
  readonly what: string;
  /** Null: it is an address, not one process. */
  readonly process: ProcessRef | null;
  /** Where its files are. */
  readonly folder: string | null;
  readonly address: { readonly host: string; readonly port: number } | null;
}

export async function findTarget(api: ApiClient, asked: Asked): Promise<Target> {
  const cache = await api.cache(asked.cache);
  if (cache.database === null) throw noDatabase(asked.cache);
  switch (asked.target) {
    case 'endpoint': {
      const { port } = cache.database.properties;
      const what = `endpoint of ${asked.cache}`;
      // Always listened on, while a name under --domain need not resolve on this machine.
      const address = { host: '127.0.0.1', port };
      return { name: 'endpoint', what, process: null, folder: null, address };
    }
    case 'control': {
      const { pid, home } = await api.status();
      return part('control', 'control process', pid, home);
    }
    case 'worker': {
      const { workers } = (await api.status()).endpoint;
      const worker = workers[asked.worker];
      if (worker !== undefined) {
        return part('worker', `endpoint worker ${asked.worker}`, worker.pid, null);
      }
      throw absent(`There is no endpoint worker ${asked.worker}; there are ${workers.length}.`);
    }
    default:
      return member(asked.cache, await api.shards(asked.cache), asked);
  }
}

function member(cache: string, shards: readonly ShardStatus[], asked: Asked): Target {
  const { target, shard: index } = asked;
  const found = shards.find(({ shard }) => shard.index === index);
  if (found === undefined) {
    throw absent(`'${cache}' has no shard ${index}; it has ${shards.length}, counted from 0.`);
  }
  const status = found.instances.find((each) => each.role === target);
  if (status === undefined) throw absent(`Shard ${index} of '${cache}' has no ${target} now.`);
  const { instance, clientPort } = status;
  const ref = instance.process;
  if (ref === null) throw absent(`The ${target} of shard ${index} of '${cache}' does not run now.`);
  return {
    name: target,
    what: `${target} of shard ${index} of ${cache}`,
    process: { pid: ref.pid, startTicks: ref.startTicks },
    folder: instance.dataDir,
    address: { host: instance.host, port: clientPort },
  };
}

function part(name: TargetName, what: string, pid: number, folder: string | null): Target {
  const ref = refOf(pid);
  if (ref === null) throw absent(`The ${what} (pid ${pid}) is gone.`);
  return { name, what, process: ref, folder, address: null };
}

function absent(message: string): CliError {
  return new CliError('notFound', 'no-such-target', message, 'See what runs: cinnabar show <name>');
}
