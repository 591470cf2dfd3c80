/**
 * What the endpoint refuses because not every engine that runs a database, or may run it again, knows it:
 * commands, which the engines' own rules refuse as well (users.ts), and options of commands that all of
 * them know, which those rules cannot name.
 */
import type { NewerView } from '../../endpoint/control-protocol.ts';
import type { EngineNode, KnownEngine } from '../../engine/contract.ts';
import { type NewerOptions, newerOptions } from '../../resp/table/index.ts';
import { isOlder, keepsWayBack } from '../plan/upgrade.ts';
import type { DatabaseRecord, InstanceRecord, Upgrade } from '../store/records.ts';

/** Engines that have to understand what is written now, by their labels: the oldest first. */
export function versionsOf(
  upgrade: Upgrade | null,
  running: readonly Pick<InstanceRecord, 'engine'>[],
): string[] {
  const kept = keepsWayBack(upgrade) ? [upgrade.from, upgrade.to] : [];
  const all = new Set([...kept, ...running.map((each) => each.engine)]);
  return [...all].sort((a, b) => (isOlder(a, b) ? -1 : isOlder(b, a) ? 1 : 0));
}

/** Undefined: they speak one language, or nothing is known of the older one. */
export function newerView(
  { upgrade }: Pick<DatabaseRecord, 'upgrade'>,
  instances: readonly InstanceRecord[],
  node: Pick<EngineNode, 'known'>,
): NewerView | undefined {
  const running = instances.filter((each) => each.phase === 'running');
  const labels = versionsOf(upgrade, running);
  const known = labels.flatMap((label) => node.known(label) ?? []);
  const unknown = known.flatMap((engine) => {
    // A newer one knows what the older ones of its product do; of other products nothing follows.
    const others = known.filter((each) => each !== engine && !isOlder(each.label, engine.label));
    // What engines tell each other is refused to clients in every version.
    const isNews = (name: string) => !engine.commands.has(name) && !name.startsWith('cluster|');
    const commands = others.flatMap((each) => [...each.commands]).filter(isNews);
    const options = others.flatMap((each) => optionsBetween(engine, each));
    if (commands.length + options.length === 0) return [];
    return { engine: engine.label, commands: [...new Set(commands)].sort(), options };
  });
  return unknown.length === 0 ? undefined : { unknown, because: because(upgrade, labels) };
}

const differences = new WeakMap<KnownEngine['commands'], Map<string, NewerOptions[]>>();

/** Asked at every turn while two versions are in play: their documents are compared once. */
function optionsBetween(older: KnownEngine, newer: KnownEngine): NewerOptions[] {
  const of = differences.get(older.commands) ?? new Map<string, NewerOptions[]>();
  differences.set(older.commands, of);
  const known = of.get(newer.label);
  if (known !== undefined) return known;
  const made = newerOptions(older.arguments(), newer.arguments());
  of.set(newer.label, made);
  return made;
}

function because(upgrade: Upgrade | null, labels: readonly string[]): string {
  if (!keepsWayBack(upgrade)) return `${labels.join(' and ')} run side by side`;
  const { phase, from, to, until } = upgrade;
  if (phase === 'upgrading') return `an upgrade from ${from} to ${to} is under way`;
  if (phase === 'returning') return `it goes back from ${to} to ${from}`;
  const when = new Date(until ?? 0).toISOString();
  return `the way back to ${from} is open until ${when} (cinnabar upgrade --finish closes it)`;
}
