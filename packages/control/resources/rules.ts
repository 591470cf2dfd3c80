/** What may be written, one rule a function. Each throws the ControlError that the user reads. */
import { EXPENSIVE, EXPENSIVE_NAMES } from '../../resp/table/index.ts';
import type { Sku } from '../catalog/skus.ts';
import { ControlError } from '../errors.ts';
import { type DatabaseSettings, shardsDirect } from '../store/records.ts';
import { MAX_LOCATION, MAX_TAG_NAME, MAX_TAG_VALUE, MAX_TAGS } from './limits.ts';
import { nearest } from './nearest.ts';

const LOCATION = /^[A-Za-z][A-Za-z0-9 _-]*$/;

export function checkLocation(location: string): void {
  if (location === '') {
    throw new ControlError(
      'LocationRequired',
      400,
      "The location property is required for this definition, for example 'local' or 'westeurope'.",
      'location',
    );
  }
  if (location.length <= MAX_LOCATION && LOCATION.test(location)) return;
  throw new ControlError(
    'LocationNotAvailableForResourceType',
    400,
    `'${location.slice(0, MAX_LOCATION)}' is not a location: use 'local', a region of Azure's such as 'westeurope', or any name of letters, digits, spaces, '-' and '_' that begins with a letter and has at most ${MAX_LOCATION}.`,
    'location',
  );
}

/** Not in names of tags, as in Azure. */
const RESERVED = /[<>%&\\?/]/;
/** What shows as nothing, or makes a text read as another one. */
const INVISIBLE = /[\p{Cc}\p{Cs}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

type Tags = Readonly<Record<string, string>>;

/** `before`: what an older build may have let in stays, or its owner could change nothing else. */
export function checkTags(tags: Tags, before: Tags | null): void {
  const names = Object.keys(tags);
  const odd = names
    .filter((name) => before === null || before[name] !== tags[name])
    .find((name) => RESERVED.test(name) || INVISIBLE.test(`${name} ${tags[name]}`));
  if (odd !== undefined) {
    throw new ControlError(
      'InvalidTagNameCharacters',
      400,
      `Tag ${JSON.stringify(odd.slice(0, MAX_TAG_NAME))} is not valid: a name has none of the characters <>%&\\?/, and neither name nor value has control characters or characters that turn the direction of writing.`,
      'tags',
    );
  }
  const long = names.find(
    (name) =>
      name === '' || name.length > MAX_TAG_NAME || (tags[name] ?? '').length > MAX_TAG_VALUE,
  );
  if (names.length <= MAX_TAGS && long === undefined) return;
  throw new ControlError(
    'InvalidTags',
    400,
    long === undefined
      ? `${names.length} tags are too many: a resource has at most ${MAX_TAGS}.`
      : `Tag '${long.slice(0, MAX_TAG_NAME)}' is not valid: a name has 1 to ${MAX_TAG_NAME} characters, a value at most ${MAX_TAG_VALUE}.`,
    'tags',
  );
}

export function checkZones(sku: Sku, zones: readonly string[] | null): void {
  if (zones === null || zones.length === 0) return;
  if (sku.kind !== 'v1') {
    throw new ControlError(
      'InvalidParameter',
      400,
      `zones cannot be chosen for ${sku.name}: leave the property out.`,
      'zones',
    );
  }
  const odd = zones.find((zone) => !/^[123]$/.test(zone));
  if (odd === undefined && new Set(zones).size === zones.length) return;
  throw new ControlError(
    'InvalidParameter',
    400,
    `zones are "1", "2" and "3", each at most once; got ${JSON.stringify(zones).slice(0, 100)}.`,
    'zones',
  );
}

/** Letters as in the engine's notify-keyspace-events; K or E must be among them. */
export function checkNotify(flags: string): void {
  if (flags === '' || (/^[KEg$lshzxetdmnoA]{1,32}$/.test(flags) && /[KE]/.test(flags))) return;
  throw new ControlError(
    'InvalidParameter',
    400,
    `notifyKeyspaceEvents '${flags.slice(0, 40)}' is not valid: letters of "KEg$lshzxetdmnoA", with K or E among them, or an empty string.`,
    'properties.notifyKeyspaceEvents',
  );
}

/** What a guard rule may be about, and where it can be kept. */
export function checkGuard(
  settings: Pick<DatabaseSettings, 'guard' | 'policy' | 'shardAccess'>,
): void {
  const { guard } = settings;
  const seen = new Set<string>();
  for (const { command, action, above } of guard) {
    const about = EXPENSIVE.get(command);
    const name = command.slice(0, 40).toUpperCase();
    if (about === undefined) {
      throw badRule(
        `${name} cannot have a guard rule. ${meant(command)} All that can: docs/guard.md. SAVE, BGSAVE, DEBUG, SHUTDOWN and the like are never for clients.`,
      );
    }
    if (seen.has(command)) throw badRule(`${name} has two guard rules: give one a command.`);
    seen.add(command);
    if (above === 0) continue;
    if (about.counts === null) {
      throw badRule(`${name} has no size that a rule could measure: leave 'above' out.`);
    }
    if (shardsDirect(settings) && action === 'refuse') {
      throw badRule(
        `${name} cannot be refused above ${above} ${about.counts} with OSSCluster: clients talk to the shards themselves, and an engine refuses a command always or never. Leave 'above' out, choose warn, set shardAccess to relayed, or use the policy EnterpriseCluster.`,
      );
    }
  }
}

const OFTEN_GUARDED = ['keys', 'hgetall', 'smembers', 'lrange', 'flushall'];

function meant(command: string): string {
  const near = nearest(command.slice(0, 40), EXPENSIVE_NAMES).slice(0, OFTEN_GUARDED.length);
  const [start, names, end] =
    near.length > 0 ? ['Did you mean', near, '?'] : ['These can, for example:', OFTEN_GUARDED, '.'];
  return `${start} ${names.join(', ').toUpperCase()}${end}`;
}

function badRule(message: string): ControlError {
  return new ControlError('InvalidParameter', 400, message, 'properties.cinnabar.guard');
}
