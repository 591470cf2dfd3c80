/** Rules for expensive commands: refuse, warn (into the log), or allow below a size. */
import type { GuardRule } from '../control-protocol.ts';

/** What to use instead, said in the refusal. */
const INSTEAD: Readonly<Record<string, string>> = {
  keys: 'SCAN',
  smembers: 'SSCAN',
  hgetall: 'HSCAN or HMGET',
  hkeys: 'HSCAN',
  hvals: 'HSCAN',
  lrange: 'LRANGE with a smaller range',
  zrange: 'ZRANGE with a smaller range',
  sort: 'a sorted set',
  flushall: 'the management API',
  flushdb: 'the management API',
};

/** Commands that tell the size of the key that these read. */
const SIZES: Readonly<Record<string, string>> = {
  smembers: 'SCARD',
  sinter: 'SCARD',
  sunion: 'SCARD',
  sdiff: 'SCARD',
  hgetall: 'HLEN',
  hkeys: 'HLEN',
  hvals: 'HLEN',
  lrange: 'LLEN',
  zrange: 'ZCARD',
  zrangebyscore: 'ZCARD',
  zrevrange: 'ZCARD',
  get: 'STRLEN',
};

export class Guard {
  readonly #rules: ReadonlyMap<string, GuardRule>;

  constructor(rules: readonly GuardRule[]) {
    this.#rules = new Map(
      rules.map((rule) => [rule.command.toLowerCase().replace(' ', '|'), rule]),
    );
  }

  get empty(): boolean {
    return this.#rules.size === 0;
  }

  rule(command: string): GuardRule | null {
    const rule = this.#rules.get(command);
    return rule === undefined || rule.action === 'allow' ? null : rule;
  }

  /** The command that measures what this one would read; null: it cannot be measured. */
  sizeCommand(command: string): string | null {
    return SIZES[command] ?? null;
  }

  refusal(rule: GuardRule, size: number | null): string {
    const name = rule.command.toUpperCase();
    const instead = INSTEAD[rule.command.toLowerCase()];
    const limit = rule.above > 0 ? ` above ${rule.above} elements` : '';
    const found = size === null ? '' : ` (this key has ${size})`;
    const hint = instead === undefined ? '' : `; use ${instead}`;
    return `-ERR guard-refused: ${name} is refused${limit} by a rule of this database${found}${hint}\r\n`;
  }
}
