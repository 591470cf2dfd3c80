/**
 * Who the application is to the server, over time: access keys that are rotated, and tokens that
 * expire (Microsoft Entra ID and the like).
 *
 * Keys: a service has two, so that one can be renewed while the other is in use. `overlappingKeys`
 * logs in with the first that works and remembers which; a rotation is then: renew the unused one,
 * hand it in first, renew the other.
 *
 * Tokens: a new one is fetched well before the old one expires (three quarters of its life, never
 * less than three minutes before the end), each process at a slightly different time so that a fleet
 * does not ask all at once, and every live connection logs in again with it (AUTH on the connection,
 * nothing is dropped), as does every connection made later. A failure to fetch is tried again with back-off until the old one is over.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { rawOf } from '../adapters/raw.ts';
import { callback, check, list, shape, text } from '../checks.ts';
import { KitError, messageOf } from '../errors.ts';
import { poolOf } from '../lanes/lanes.ts';
import {
  LOGIN_AGAIN_MS,
  LOGIN_ATTEMPTS,
  LOGIN_LOOK_MS,
  TIMER_MS_MAX,
  TOKEN_MARGIN_MS,
  TOKEN_RENEW_JITTER,
  TOKEN_RENEW_RATIO,
  TOKEN_RETRY_MS,
} from '../limits.ts';
import { type Login, logInNow, useLogin } from './credentials.ts';

export interface Token extends Login {
  /** When it stops working, ms since 1970. */
  readonly expiresAt: number;
}

export interface TokenOptions {
  /** Fetches a new token; may be asked again after it failed. */
  readonly fetch: () => Promise<Token>;
  /** A token could not be fetched, or a connection refused it; it is tried again. */
  readonly onError?: (error: KitError) => void;
  readonly random?: () => number;
  readonly now?: () => number;
}

const tokenShape = shape({ fetch: callback, onError: callback, random: callback, now: callback }, [
  'fetch',
]);

/** When to renew a token that was got at `now`: a moment in ms from then. */
export function renewIn(lifeMs: number, random: number): number {
  const share = TOKEN_RENEW_RATIO + (random - 0.5) * 2 * TOKEN_RENEW_JITTER;
  const planned = lifeMs * share;
  const latest = lifeMs - TOKEN_MARGIN_MS * (1 + random * TOKEN_RENEW_JITTER);
  // Tokens that live shorter than the margin are renewed about half way.
  return Math.max(0, latest > 0 ? Math.min(planned, latest) : planned - lifeMs / 4);
}

export class TokenKeeper {
  readonly #options: TokenOptions;
  readonly #clients = new Set<object>();
  #token: Token | undefined;
  #fetching: Promise<Token> | undefined;
  /** With the last token that was fetched: on how many connections. */
  #logins: Promise<number> = Promise.resolve(0);
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: TokenOptions) {
    check('TokenKeeper', options, tokenShape);
    this.#options = options;
  }

  /** The token to log in with; fetched if there is none that works. */
  async current(): Promise<Token> {
    const token = this.#token;
    if (token !== undefined && token.expiresAt > this.#now()) return token;
    return this.#fetch();
  }

  /** Connections of this client log in again with each new token from now on. */
  attach(redis: object): void {
    this.#clients.add(redis);
    if (this.#token !== undefined) adopt(redis, this.#token);
    if (this.#timer === undefined && this.#token !== undefined) this.#plan(this.#token);
  }

  detach(redis: object): void {
    this.#clients.delete(redis);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Fetches a new token now and logs all connections in with it; answers how many. */
  async renew(): Promise<number> {
    await this.#fetch();
    return this.#logins;
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  /** One at a time: however many connections ask, the issuer is asked once. */
  #fetch(): Promise<Token> {
    // Of what it throws, at once or later, the caller hears the same.
    this.#fetching ??= Promise.resolve()
      .then(() => this.#options.fetch())
      .catch((error: unknown) => {
        throw new KitError('ERR_CLIENT_TOKEN', `no token could be fetched: ${messageOf(error)}`, {
          cause: error,
        });
      })
      .then((token) => {
        const wrong = wrongOf(token, this.#now());
        if (wrong !== undefined) throw new KitError('ERR_CLIENT_TOKEN', wrong);
        this.#token = token;
        this.#plan(token);
        // Whoever asked for it, a renewal or somebody who found the old one over.
        this.#logins = this.#loginAll(token);
        this.#logins.catch(() => {}); // `onError` threw: told to whoever called renew()
        return token;
      })
      .finally(() => {
        this.#fetching = undefined;
      });
    return this.#fetching;
  }

  #plan(token: Token): void {
    this.#later(renewIn(token.expiresAt - this.#now(), (this.#options.random ?? Math.random)()));
  }

  #later(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#due(), Math.min(ms, TIMER_MS_MAX));
    this.#timer.unref();
  }

  async #due(): Promise<void> {
    try {
      await this.renew();
    } catch (error) {
      this.#options.onError?.(
        new KitError(
          'ERR_CLIENT_TOKEN',
          `no new token: ${messageOf(error)}; the old one is used until it is over`,
          { cause: error },
        ),
      );
      this.#later(TOKEN_RETRY_MS * (0.5 + Math.random()));
    }
  }

  async #loginAll(token: Login): Promise<number> {
    // First of all: what connects again meanwhile must not come with the old one.
    for (const redis of this.#clients) adopt(redis, token);
    const asked = [...this.#clients].flatMap((redis) => loginEach(redis, token));
    let count = 0;
    for (const result of await Promise.allSettled(asked)) {
      if (result.status === 'fulfilled') count += 1;
      else {
        this.#options.onError?.(
          new KitError(
            'ERR_CLIENT_TOKEN',
            `a connection refused the new token: ${messageOf(result.reason)}`,
            { cause: result.reason },
          ),
        );
      }
    }
    return count;
  }
}

/** What is wrong with what the issuer gave; never the token itself. */
function wrongOf(token: Partial<Token> | undefined, now: number): string | undefined {
  if (typeof token?.password !== 'string' || token.password === '')
    return 'fetch() gave no password: it answers { username, password: the token, expiresAt }';
  const { expiresAt } = token;
  if (Number(expiresAt) > now) return undefined;
  return Number(expiresAt) * 1_000 > now
    ? `expiresAt is in milliseconds since 1970, and ${expiresAt} looks like seconds`
    : `the issuer gave a token that is over already (expiresAt ${expiresAt})`;
}

/** From now on the connections of this client are made with this login. */
function adopt(redis: object, login: Login): void {
  const pool = poolOf(redis);
  if (pool === undefined) useLogin(redis, login);
  else pool.adoptLogin(login);
}

/** AUTH on every connection of a client, each by itself; none: nothing is connected. */
function loginEach(redis: object, login: Login): Promise<unknown>[] {
  const pool = poolOf(redis);
  if (pool === undefined) return logInNow(redis, login);
  return [...pool.lanes].flatMap(({ client }) =>
    client === undefined ? [] : logInNow(client.library, login),
  );
}

/**
 * Logs in with the first of the keys that the server takes; answers which (0 or 1). Connections that are
 * made later log in with it, too.
 */
export async function overlappingKeys(
  redis: object,
  username: string,
  keys: readonly string[],
): Promise<number> {
  check('overlappingKeys()', keys, list(text), 'the keys');
  let last: unknown;
  for (const [index, password] of keys.entries()) {
    try {
      await logIn(redis, { username, password });
      return index;
    } catch (error) {
      if (!isWrong(error)) throw error;
      last = error;
    }
  }
  throw new KitError(
    'ERR_CLIENT_TOKEN',
    `none of ${keys.length} access keys is valid for ${username}; fetch them again`,
    { cause: last },
  );
}

/**
 * What is connected says at once whether it takes the login. Where nothing is, maybe because the old key is
 * not valid any more, the next connection tells; and one that was being made with the login of before ends,
 * too, or is still the reason that is given: so nothing that fails there is believed at once.
 */
async function logIn(redis: object, login: Login): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const asked = loginEach(redis, login);
    try {
      if (asked.length > 0) await Promise.all(asked);
      adopt(redis, login);
      if (asked.length === 0) {
        await firstConnection(redis);
        await Promise.all(loginEach(redis, login));
      }
      return;
    } catch (error) {
      const why = poolOf(redis)?.offline.why;
      const said = isWrong(why) ? why : error;
      // Nobody could be asked, and for another reason than the login: no key changes that.
      const away = asked.length === 0 && isOffline(error) && !isWrong(said);
      // A connection whose own login is refused fails all that waits on it with that error: not with ours.
      const told = asked.length > 0 && isWrong(error) && error !== why;
      if (told || away || error instanceof Refused) throw error;
      if (attempt === LOGIN_ATTEMPTS) throw said;
      await sleep(LOGIN_AGAIN_MS);
    }
  }
}

/**
 * Waits until there is a connection. Each one that was being made with the login of before can be refused once:
 * what is refused once more is this login, and need not be waited for.
 */
async function firstConnection(redis: object): Promise<void> {
  const pool = poolOf(redis);
  const ping = rawOf(redis)('PING');
  if (pool === undefined) return void (await ping);
  let { why } = pool.offline;
  let ofBefore = pool.lanes.size;
  let over = false;
  const end = (): void => {
    over = true;
  };
  ping.then(end, end);
  while (!over) {
    await sleep(LOGIN_LOOK_MS);
    if (over || pool.offline.why === why) continue;
    why = pool.offline.why;
    if (!isWrong(why)) continue;
    if (ofBefore === 0) throw new Refused(messageOf(why), { cause: why });
    ofBefore -= 1;
  }
  await ping;
}

/** The server has been asked, and does not take the login. */
class Refused extends Error {}

function isWrong(error: unknown): boolean {
  if (error instanceof Refused) return true;
  // Cluster clients of ioredis and iovalkey say that no node answers, and keep what the last one said.
  const ofNode = (error as { lastNodeError?: unknown } | undefined)?.lastNodeError;
  return /WRONGPASS|invalid username-password/i.test(`${messageOf(error)} ${messageOf(ofNode)}`);
}

function isOffline(error: unknown): boolean {
  return error instanceof KitError && error.code === 'ERR_CLIENT_OFFLINE';
}
