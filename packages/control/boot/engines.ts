/**
 * Engines beside the one in use that databases run, or may go back to. Each start notes where the program
 * of the engine in use is; one that was fetched is found in the cache folder without that note, too.
 */
import {
  bundledEngine,
  engineOfProgram,
  labelOf,
  type Program,
  type ProvisionedEngine,
} from '../../engine/index.ts';
import type { Store } from '../store/index.ts';

/** By label, where its program was when it was in use. */
const PROGRAMS = 'engine-programs';

interface Noted extends Program {
  readonly origin: string;
}

type Log = (level: 'warn', message: string, data: object) => void;

export async function otherEngines(
  store: Store,
  inUse: ProvisionedEngine,
  cacheDir: string,
  log: Log,
): Promise<ProvisionedEngine[]> {
  const noted: Record<string, Noted> = JSON.parse(store.meta(PROGRAMS) ?? '{}');
  const wanted = labelsOf(store);
  wanted.delete(labelOf(inUse.build));
  const kept = Object.entries(noted).filter(([label]) => wanted.has(label));
  const { file, argsBefore } = inUse.server;
  const now = { file, argsBefore, origin: inUse.build.origin };
  const next = JSON.stringify({ ...Object.fromEntries(kept), [labelOf(inUse.build)]: now });
  if (next !== store.meta(PROGRAMS)) store.write(() => store.setMeta(PROGRAMS, next));
  const found: ProvisionedEngine[] = [];
  for (const label of wanted) {
    const engine = await find(label, noted[label], cacheDir);
    if (engine !== null) found.push(engine);
    else log('warn', 'an engine that a cache runs is not on this machine any more', { label });
  }
  return found;
}

function labelsOf(store: Store): Set<string> {
  const labels = store
    .databases()
    .flatMap(({ id, upgrade }) => [
      ...store.instances(id).map((each) => each.engine),
      ...(upgrade === null ? [] : [upgrade.from, upgrade.to]),
    ]);
  return new Set(labels.filter((label) => label !== ''));
}

/** The program that was noted may have become another version, or be gone. */
async function find(
  label: string,
  noted: Noted | undefined,
  cacheDir: string,
): Promise<ProvisionedEngine | null> {
  if (noted !== undefined) {
    const engine = await engineOfProgram(noted, noted.origin, cacheDir).catch(() => null);
    if (engine !== null && labelOf(engine.build) === label) return engine;
  }
  return bundledEngine(label, cacheDir).catch(() => null);
}
