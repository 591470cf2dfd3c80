/**
 * The long form of the data set: the same bytes in engines of two makes, and their digests. One write
 * among all of it, and they differ; taken back, they are equal again.
 */
import { digestOf } from '../data/digest.ts';
import { loadDataset } from '../data/load.ts';
import { Asker } from '../load/asker.ts';
import { type PlainEngine, startEngine } from '../rivals/engine.ts';
import { workFolder } from '../rivals/launch.ts';
import { rivalEngine } from '../rivals/programs.ts';

/** What was seen, in a sentence; throws where the digests are not as they must be. */
export async function twoServers(bytes: number, seed: number): Promise<string> {
  const folder = await workFolder();
  const began = performance.now();
  const sides: PlainEngine[] = [];
  try {
    for (const name of ['valkey-9', 'redis-7'] as const) {
      const { server } = await rivalEngine(name);
      sides.push(await startEngine(server, { dir: folder.dir, name }));
    }
    const [first, second] = sides.map(({ socket }) => ({ path: socket }));
    if (first === undefined || second === undefined) throw new Error('two servers were to start');
    const loaded = await loadDataset(first, { seed, bytes });
    await loadDataset(second, { seed, bytes });
    const digest = await digestOf(first);
    const mustBe = async (equal: boolean, when: string): Promise<void> => {
      const other = await digestOf(second);
      if ((other.value === digest.value) !== equal)
        throw new Error(`${when}: ${digest.value} and ${other.value}`);
    };
    await mustBe(true, 'the same data in both');
    const asker = await Asker.open(second);
    await asker.ask('SET', 'one more', '');
    await mustBe(false, 'one key more in one of them');
    await asker.ask('DEL', 'one more');
    await mustBe(true, 'that key taken away again');
    asker.close();
    const seconds = Math.round((performance.now() - began) / 1_000);
    return (
      `${loaded.keys} keys, ${loaded.payload} bytes of values from seed ${seed}, in Valkey 9 and in Redis 7: ` +
      `digests equal (${digest.value.slice(0, 16)}…), different with one empty key more, equal without it; ${seconds} s`
    );
  } finally {
    for (const side of sides) await side.stop();
    await folder.remove();
  }
}
