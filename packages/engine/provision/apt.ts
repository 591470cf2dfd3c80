/**
 * Debian packages without root and without touching the host: apt with a state of its own.
 *
 * Everything apt would read or write is pointed into our folder by one configuration file
 * (APT_CONFIG): lists, cache, sources, preferences, an empty package status. The host's apt.conf.d
 * is left out on purpose, because its hooks run after every update; only how it reaches archives
 * is carried over. apt checks the archive's signature against Debian's keyring
 * and every package against the signed index.
 */
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EngineError, reasonOf } from '../errors.ts';
import { FETCH_CONNECT_S, FETCH_DEADLINE_MS, LISTS_FRESH_MS } from '../limits.ts';
import { debianMirrors, distribution } from './host.ts';
import { run } from './run.ts';
import { tellingBytes } from './so-far.ts';

export interface AptPackage {
  readonly name: string;
  readonly version: string;
  /** Of the packed file. */
  readonly bytes: number;
  /** Names only, the first of alternatives. */
  readonly depends: readonly string[];
}

export class PrivateApt {
  readonly #folder: string;
  readonly #suite: string;
  readonly #keyring: string;

  constructor(folder: string, suite: string, keyring: string) {
    this.#folder = folder;
    this.#suite = suite;
    this.#keyring = keyring;
  }

  /** Reads the suite's package lists, unless those at hand are fresh enough. */
  async update(force: boolean, soFar: (bytes: number) => void): Promise<void> {
    if (!force && (await this.#age()) < LISTS_FRESH_MS) return;
    const hostMirrors = distribution().includes('debian')
      ? debianMirrors()
      : debianMirrors('/nowhere');
    let failure: unknown = null;
    for (const mirror of hostMirrors) {
      await this.#configure(mirror);
      try {
        const lists = join(this.#folder, 'lists');
        await tellingBytes([lists], soFar, () => this.#run('apt-get', ['update', '--quiet']));
        await writeFile(join(this.#folder, 'updated'), mirror);
        return;
      } catch (error) {
        // The host's own mirror may not carry this suite; the next one may.
        failure = error;
      }
    }
    throw new EngineError(
      'no-package-lists',
      `cannot read the package lists of Debian ${this.#suite} from ${hostMirrors.join(' or ')}: ${reasonOf(failure)}`,
      'Check the network and the proxy (http_proxy), then: cinnabar engine install.',
      { cause: failure },
    );
  }

  /** The packages as the suite offers them; those it does not have are left out. */
  async show(names: readonly string[]): Promise<AptPackage[]> {
    if (names.length === 0) return [];
    let text: string;
    try {
      text = (await this.#run('apt-cache', ['show', '--no-all-versions', ...names])).stdout;
    } catch (error) {
      if (error instanceof EngineError && /No packages found/i.test(error.message)) return [];
      throw error;
    }
    return parseStanzas(text);
  }

  /** Downloads into `folder`; answers the files. */
  async download(
    names: readonly string[],
    folder: string,
    soFar: (bytes: number) => void,
  ): Promise<string[]> {
    const before = new Set(await readdir(folder));
    await tellingBytes([folder], soFar, () =>
      this.#run('apt-get', ['download', '--quiet', ...names], folder),
    );
    const after = await readdir(folder);
    return after
      .filter((name) => name.endsWith('.deb') && !before.has(name))
      .map((name) => join(folder, name));
  }

  /** Drops apt's binary caches, which are large and quickly made again; the lists stay. */
  async dropCaches(): Promise<void> {
    await rm(join(this.#folder, 'cache'), { recursive: true, force: true });
  }

  async #age(): Promise<number> {
    try {
      const written = (await stat(join(this.#folder, 'updated'))).mtimeMs;
      return Date.now() - written;
    } catch {
      return Number.POSITIVE_INFINITY;
    }
  }

  async #configure(mirror: string): Promise<void> {
    await mkdir(join(this.#folder, 'lists', 'partial'), { recursive: true });
    await mkdir(join(this.#folder, 'none'), { recursive: true });
    // Backports stand on the suite that they are for, and hold none of its packages.
    const base = /^(.+)-backports$/.exec(this.#suite)?.[1];
    const suites = base === undefined ? [this.#suite] : [base, this.#suite];
    const sources = suites.map(
      (suite) => `deb [signed-by=${this.#keyring}] ${mirror} ${suite} main\n`,
    );
    await writeFile(join(this.#folder, 'sources.list'), sources.join(''));
    const settings: Record<string, string> = {
      Dir: '/',
      'Dir::State': join(this.#folder, 'state'),
      'Dir::State::Lists': join(this.#folder, 'lists'),
      'Dir::State::status': '/dev/null',
      'Dir::Cache': join(this.#folder, 'cache'),
      'Dir::Cache::srcpkgcache': '',
      'Dir::Etc::sourcelist': join(this.#folder, 'sources.list'),
      'Dir::Etc::sourceparts': join(this.#folder, 'none'),
      'Dir::Etc::preferences': '/dev/null',
      'Dir::Etc::preferencesparts': join(this.#folder, 'none'),
      'Dir::Etc::parts': join(this.#folder, 'none'),
      'Dir::Etc::main': '/dev/null',
      'Acquire::Languages': 'none',
      // Otherwise lists that cannot be reached are a warning, and then every package "is not offered".
      'APT::Update::Error-Mode': 'any',
      'Acquire::Retries': '2',
      'Acquire::http::Timeout': String(FETCH_CONNECT_S),
      'Acquire::https::Timeout': String(FETCH_CONNECT_S),
      // The folder is private to this user, so apt's own unprivileged user could not write there.
      'APT::Sandbox::User': '',
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";`);
    await writeFile(
      join(this.#folder, 'apt.conf'),
      `${[...(await hostAcquireSettings()), ...lines].join('\n')}\n`,
      { mode: 0o600 },
    );
  }

  async #run(
    program: string,
    args: readonly string[],
    cwd = this.#folder,
  ): Promise<{ stdout: string }> {
    await mkdir(join(this.#folder, 'cache', 'archives', 'partial'), { recursive: true });
    // With the host's TMPDIR full, apt says of a good signature that there is none.
    const temporary = join(this.#folder, 'tmp');
    await mkdir(temporary, { recursive: true, mode: 0o700 });
    return run(program, args, {
      cwd,
      env: { APT_CONFIG: join(this.#folder, 'apt.conf'), TMPDIR: temporary },
      deadlineMs: FETCH_DEADLINE_MS,
    });
  }
}

/**
 * How this host reaches archives: proxies, and whether dates count (a frozen mirror's signature is
 * past its date for ever; the host's own apt was told so). Never what weakens signatures. May hold
 * a proxy's password, so the file they go to is 0600.
 */
async function hostAcquireSettings(): Promise<string[]> {
  const { stdout } = await run('apt-config', ['dump'], { deadlineMs: FETCH_DEADLINE_MS });
  return stdout
    .split('\n')
    .filter((line) =>
      /^Acquire::(?:https?::|Proxy|ForceIPv[46]|Check-Valid-Until|Check-Date)/i.test(line),
    )
    .filter((line) => /^[A-Za-z0-9:._/-]+ ".*";$/.test(line) && !/ "";$/.test(line));
}

export function parseStanzas(text: string): AptPackage[] {
  return text
    .split(/\n\n+/)
    .map((stanza) => ({
      name: field(stanza, 'Package'),
      version: field(stanza, 'Version'),
      bytes: Number(field(stanza, 'Size')) || 0,
      depends: [
        ...dependencies(field(stanza, 'Pre-Depends')),
        ...dependencies(field(stanza, 'Depends')),
      ],
    }))
    .filter((each) => each.name !== '');
}

function field(stanza: string, name: string): string {
  return new RegExp(`^${name}: (.*)$`, 'm').exec(stanza)?.[1] ?? '';
}

function dependencies(text: string): string[] {
  return text
    .split(',')
    .map((part) => /^\s*([a-z0-9][a-z0-9+.-]*)/.exec(part)?.[1] ?? '')
    .filter((name) => name !== '');
}
