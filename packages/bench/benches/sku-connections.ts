/**
 * The connections that a SKU promises, opened for real: 15,000 on a managed Balanced_B0, all logged in
 * and answered, without TLS and with it; and the next one, which is refused with a reason.
 */
import type { Bench, BenchContext, Measured } from '../harness/result.ts';
import { MIN_PAIRS } from '../limits.ts';
import { Asker, type Target } from '../load/asker.ts';
import { rivalEngine } from '../rivals/programs.ts';
import { Holder, raiseFileLimit } from './holder.ts';
import { OurService } from './our-service.ts';

const SKU = 'Balanced_B0';
const LIMIT = 15_000;
/** A handshake takes both ends some milliseconds of CPU: all of them are not for a quick look. */
const TLS_QUICK = 3_000;

export const skuConnections: Bench = {
  name: 'sku-connections',
  about:
    'All 15,000 connections of a Balanced_B0, logged in and answered, plain and over TLS; the one above is refused with a reason.',
  async run(context): Promise<Measured[]> {
    const { build } = await rivalEngine('valkey-9');
    context.engine(`${build.name} ${build.version}`);
    await raiseFileLimit();
    const service = await OurService.make();
    context.defer(() => service.destroy());
    await service.start();
    const results: Measured[] = [];
    for (const tls of [false, true]) {
      const wanted = tls && context.quick ? TLS_QUICK : LIMIT;
      results.push(...(await fill(context, service, tls, wanted)));
    }
    return results;
  },
};

async function fill(
  context: BenchContext,
  service: OurService,
  tls: boolean,
  wanted: number,
): Promise<Measured[]> {
  const kind = tls ? 'tls' : 'plain';
  const { cache } = await service.create(kind, { sku: SKU, plaintext: !tls });
  const holder = new Holder(context);
  try {
    const began = performance.now();
    // What could not be opened shows in how many are held.
    await holder
      .ask({ target: cache.target, open: wanted })
      .catch((error: unknown) => context.say(String(error)));
    const seconds = (performance.now() - began) / 1000;
    const alive = await holder.ask({ check: true });
    context.say(`${alive.open} ${kind} connections after ${seconds.toFixed(1)} s`);
    const held: Measured = {
      metric: `${kind}_held`,
      unit: 'connections',
      samples: { ours: [alive.open] },
      ...(wanted < LIMIT ? { void: `only ${wanted} were opened: this is a quick look` } : {}),
    };
    if (wanted < LIMIT) return [held];
    const refusals: string[] = [];
    for (let i = 0; i < MIN_PAIRS; i += 1) refusals.push(await oneMore(cache.target));
    context.say(`the next one: ${refusals[0]}`);
    const named = refusals.filter((text) => /max number of clients/.test(text)).length;
    return [
      held,
      {
        metric: `${kind}_refused_by_name`,
        unit: `of ${MIN_PAIRS}`,
        samples: { ours: [named] },
      },
    ];
  } finally {
    await holder.end();
    await service.remove(kind);
  }
}

async function oneMore(target: Target): Promise<string> {
  try {
    const asker = await Asker.open(target);
    asker.close();
    return 'accepted';
  } catch (error) {
    return String(error);
  }
}
