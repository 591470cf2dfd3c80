/** The client kit brings its own measurements; here they are judged and reported like all others. */
import type { Bench, BenchContext, Measured } from '../harness/result.ts';

interface ClientBench {
  runClientBench(context: BenchContext): Promise<Measured[]>;
}

export const client: Bench = {
  name: 'client',
  about:
    'The client kit beside the clients it wraps: small GETs next to readers of 10 MB values, and throughput with 1, 50 and 1,000 callers.',
  async run(context) {
    // By address: the kit is published alone, and nothing else here may depend on its inside.
    const address = new URL('../../client/bench/index.ts', import.meta.url).href;
    const { runClientBench } = (await import(address)) as ClientBench;
    return runClientBench(context);
  },
};
