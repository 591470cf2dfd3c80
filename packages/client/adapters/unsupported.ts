/** Clients that look like those that the kit wraps, and are not: said by name, with what to do, when they are given. */
import { KitError } from '../errors.ts';

interface Other {
  readonly name: string;
  readonly remedy: string;
  is(client: object): boolean;
}

const has = (client: object, ...names: readonly string[]): boolean =>
  names.every((name) => name in client);

/** Checked in this order, before the client is taken for one of its library. */
const others: readonly Other[] = [
  {
    name: 'an ioredis or iovalkey client with sentinels',
    remedy:
      'give it the address of the primary, or use it as it is: the kit does not follow sentinels',
    is: (client) => {
      const options: unknown = Reflect.get(client, 'options');
      const sentinels: unknown =
        has(client, 'sendCommand', 'callBuffer') && typeof options === 'object' && options !== null
          ? Reflect.get(options, 'sentinels')
          : undefined;
      return sentinels !== undefined && sentinels !== null;
    },
  },
  {
    name: 'a pool of node-redis (createClientPool)',
    remedy: 'lanes() is the pool already: make single clients in the factory, createClient()',
    is: (client) => has(client, 'execute', 'tasksQueueLength', 'idleClients'),
  },
  {
    name: 'a sentinel client of node-redis (createSentinel)',
    remedy:
      'make clients of the primary in the factory, createClient(): the kit does not follow sentinels',
    is: (client) => has(client, 'getSentinelNode', 'getMasterNode'),
  },
  {
    name: 'a client of redis 4 (node-redis before version 5)',
    remedy: 'the kit wraps redis from 5.12 on: npm install redis@latest',
    is: (client) =>
      !has(client, '_self') && (has(client, 'commandsExecutor') || has(client, 'multiExecutor')),
  },
  {
    name: 'a client of redis 3 or older (node_redis)',
    remedy: 'the kit wraps redis from 5.12 on: npm install redis@latest',
    is: (client) => has(client, 'internal_send_command'),
  },
  {
    name: 'a client of Valkey GLIDE',
    remedy: 'it has no lanes: make another client for large values and one for blocking commands',
    is: (client) => has(client, 'customCommand', 'updateConnectionPassword'),
  },
];

/** Why the kit does not take it; undefined: nothing speaks against it. `where`: as the function is written. */
export function unsupported(where: string, client: object): KitError | undefined {
  const other = others.find(({ is }) => is(client));
  return other === undefined
    ? undefined
    : new KitError('ERR_CLIENT_UNSUPPORTED', `${where}: this is ${other.name}; ${other.remedy}`);
}
