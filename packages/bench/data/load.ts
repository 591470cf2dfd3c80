/** Puts the standard data set into a server or a cluster, pipelined within a bound. */
import { Asker, encode, type Target } from '../load/asker.ts';
import { ServerError } from '../load/decode.ts';
import { slotMap, slotOf } from '../load/slots.ts';
import { nodeTarget } from '../load/verify.ts';
import { type DatasetSize, dataset } from './dataset.ts';

export interface Loaded {
  readonly keys: number;
  /** Bytes of values. */
  readonly payload: number;
}

/** Requests on the way at once. */
const WINDOW_BYTES = 16 * 1024 * 1024;
const WINDOW_REQUESTS = 2_000;

export async function loadDataset(
  target: Target,
  size: DatasetSize,
  options: { readonly cluster?: boolean } = {},
): Promise<Loaded> {
  const where = options.cluster === true ? await clusterAskers(target) : await oneAsker(target);
  let keys = 0;
  let payload = 0;
  let flying: Promise<void>[] = [];
  let flyingBytes = 0;
  try {
    for (const made of dataset(size)) {
      const asker = where.forKey(made.key);
      for (const command of made.commands) {
        const request = encode(command);
        flyingBytes += request.length;
        flying.push(acknowledged(asker, request));
      }
      keys += 1;
      payload += made.payload;
      if (flyingBytes > WINDOW_BYTES || flying.length > WINDOW_REQUESTS) {
        await Promise.all(flying);
        flying = [];
        flyingBytes = 0;
      }
    }
    await Promise.all(flying);
    return { keys, payload };
  } finally {
    where.close();
  }
}

async function acknowledged(asker: Asker, request: Buffer): Promise<void> {
  const reply = await asker.raw(request);
  if (reply instanceof ServerError) throw reply;
}

export interface Askers {
  readonly all: readonly Asker[];
  forKey(key: Buffer): Asker;
  close(): void;
}

export async function oneAsker(target: Target): Promise<Askers> {
  const asker = await Asker.open(target);
  return { all: [asker], forKey: () => asker, close: () => asker.close() };
}

/** One connection to each primary, by the slot map of this moment. */
export async function clusterAskers(target: Target): Promise<Askers> {
  const seed = await Asker.open(target);
  const map = slotMap(await seed.ask('CLUSTER', 'SLOTS'), target.host ?? '127.0.0.1');
  seed.close();
  const addresses = [...new Set(map)].filter((address) => address !== '');
  const open = new Map<string, Asker>();
  for (const address of addresses) open.set(address, await Asker.open(nodeTarget(target, address)));
  return {
    all: [...open.values()],
    forKey: (key) => {
      const asker = open.get(map[slotOf(key)] ?? '');
      if (asker === undefined) throw new Error(`no primary serves slot ${slotOf(key)}`);
      return asker;
    },
    close: () => {
      for (const asker of open.values()) asker.close();
    },
  };
}
