/** Any command on any supported client, replies as bytes. What chunked() and the tools are built on. */
import { factsOf, firstKey } from '../commands/keys.ts';
import { KitError } from '../errors.ts';
import { isIoredis } from './ioredis-shape.ts';
import { isNodeRedis, isNodeRedisCluster } from './node-redis-shape.ts';
import { unsupported } from './unsupported.ts';

/** A client of any of the libraries, or what was made of one: what they all have. */
export interface ClientLike {
  sendCommand(...args: never[]): unknown;
}

export type RawArgument = string | Buffer;
export type RawCall = (...args: RawArgument[]) => Promise<unknown>;

/** `$`: the RESP type byte by which node-redis maps bulk strings. */
const BULK_STRING = 36;
const asBytes = { [BULK_STRING]: Buffer };

interface NodeRaw {
  sendCommand(args: readonly RawArgument[], options: object): Promise<unknown>;
}

interface NodeClusterRaw {
  sendCommand(
    firstKey: unknown,
    isReadonly: boolean | undefined,
    args: readonly RawArgument[],
    options: object,
  ): Promise<unknown>;
}

export function rawOf(redis: object): RawCall {
  if (isIoredis(redis)) return (...[name = '', ...args]) => redis.callBuffer(String(name), ...args);
  if (isNodeRedisCluster(redis)) {
    const cluster = redis as unknown as NodeClusterRaw;
    return (...args) => {
      const facts = factsOf(String(args[0]));
      return cluster.sendCommand(firstKey(facts, args, 1), facts.read, args, {
        typeMapping: asBytes,
      });
    };
  }
  if (isNodeRedis(redis)) {
    const client = redis as unknown as NodeRaw;
    return (...args) => client.sendCommand(args, { typeMapping: asBytes });
  }
  throw (
    unsupported('the kit', redis) ??
    new KitError('ERR_CLIENT_UNSUPPORTED', 'not a client of ioredis, iovalkey or redis')
  );
}
