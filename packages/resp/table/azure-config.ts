/**
 * Settings of an engine that Azure lets its users read and write by CONFIG, with the range where Azure
 * names one; and what of such a command can be judged without an engine.
 * Source: Azure Managed Redis, "CONFIG commands" in its list of supported commands.
 */

type Range = readonly [low: number, high: number] | null;

/** By its present name. */
const SETTINGS: ReadonlyMap<string, Range> = new Map<string, Range>([
  ['activerehashing', null],
  ['busy-reply-threshold', [0, 60_000]],
  ['hash-max-listpack-entries', null],
  ['hash-max-listpack-value', null],
  ['hll-sparse-max-bytes', null],
  ['list-compress-depth', null],
  ['list-max-listpack-size', null],
  ['notify-keyspace-events', null],
  ['set-max-intset-entries', null],
  ['slowlog-log-slower-than', [1000, Number.MAX_SAFE_INTEGER]],
  ['slowlog-max-len', [128, 1024]],
  ['stream-node-max-bytes', null],
  ['stream-node-max-entries', null],
  ['zset-max-listpack-entries', null],
  ['zset-max-listpack-value', null],
]);

/** Names of earlier versions, which clients still use. */
const FORMER: ReadonlyMap<string, string> = new Map([
  ['lua-time-limit', 'busy-reply-threshold'],
  ['hash-max-ziplist-entries', 'hash-max-listpack-entries'],
  ['hash-max-ziplist-value', 'hash-max-listpack-value'],
  ['list-max-ziplist-size', 'list-max-listpack-size'],
  ['zset-max-ziplist-entries', 'zset-max-listpack-entries'],
  ['zset-max-ziplist-value', 'zset-max-listpack-value'],
]);

/** Every name that CONFIG GET and SET take. */
export const AZURE_SETTINGS: readonly string[] = [...SETTINGS.keys(), ...FORMER.keys()];

/** Longer than any value of these settings. */
const MAX_VALUE = 64;
const MAX_NAME = 64;

/** The settings by their present names, or the engine's own words of why not. */
export function readSettings(
  words: readonly string[],
): { readonly settings: Readonly<Record<string, string>> } | { readonly problem: string } {
  if (words.length === 0 || words.length % 2 !== 0)
    return { problem: "wrong number of arguments for 'config|set' command" };
  const settings: Record<string, string> = {};
  for (let i = 0; i < words.length; i += 2) {
    const said = (words[i] ?? '').toLowerCase();
    const name = FORMER.get(said) ?? said;
    const value = words[i + 1] ?? '';
    const range = SETTINGS.get(name);
    if (range === undefined) {
      return {
        problem: `Unknown option or number of arguments for CONFIG SET - '${said.slice(0, MAX_NAME).replace(/[\r\n]/g, ' ')}'`,
      };
    }
    const wrong = (why: string) => ({
      problem: `CONFIG SET failed (possibly related to argument '${said}') - ${why}`,
    });
    if (Object.hasOwn(settings, name)) return wrong('duplicate parameter');
    if (value.length > MAX_VALUE || /[^\x20-\x7e]/.test(value)) return wrong('argument is invalid');
    if (range !== null && !(Number(value) >= range[0] && Number(value) <= range[1]))
      return wrong(`argument must be between ${range[0]} and ${range[1]} inclusive`);
    settings[name] = value;
  }
  return { settings };
}
