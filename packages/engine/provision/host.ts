/** What this machine is, as far as the way to an engine depends on it, and the one command that helps. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const KEYRINGS = [
  '/usr/share/keyrings/debian-archive-keyring.gpg',
  '/usr/share/keyrings/debian-archive-keyring.pgp',
];

const DEFAULT_MIRROR = 'http://deb.debian.org/debian';

export function debianKeyring(): string | null {
  return KEYRINGS.find((file) => existsSync(file)) ?? null;
}

/** The `ID` and `ID_LIKE` words of /etc/os-release. */
export function distribution(): string[] {
  try {
    const text = readFileSync('/etc/os-release', 'utf8');
    return [...text.matchAll(/^(?:ID|ID_LIKE)="?([^"\n]*)"?$/gm)].flatMap((m) =>
      (m[1] ?? '').split(' '),
    );
  } catch {
    // Not a Linux distribution that says its name.
    return [];
  }
}

const INSTALL: Readonly<Record<string, string>> = {
  fedora: 'sudo dnf install --assumeyes valkey',
  rhel: 'sudo dnf install --assumeyes valkey',
  arch: 'sudo pacman -S --noconfirm valkey',
  alpine: 'sudo apk add valkey',
  suse: 'sudo zypper --non-interactive install valkey',
  opensuse: 'sudo zypper --non-interactive install valkey',
};

/** The one command to type when no engine can be had; `why` decides between two on Debian's kin. */
export function installCommand(
  platform: NodeJS.Platform,
  words: readonly string[],
  hasKeyring: boolean,
): string {
  if (platform === 'darwin') return 'brew install valkey';
  if (platform === 'win32') return 'wsl --install --distribution Debian';
  if (words.includes('debian') || words.includes('ubuntu')) {
    return hasKeyring
      ? 'sudo apt-get install --yes valkey-server || sudo apt-get install --yes redis-server'
      : 'sudo apt-get install --yes debian-archive-keyring';
  }
  for (const word of words) {
    const command = INSTALL[word];
    if (command !== undefined) return command;
  }
  return 'install valkey 9 with your package manager, then: cinnabar engine install --path <valkey-server>';
}

/** Windows' Linux: everything works there, but users look for Windows' words. */
export function isWsl(): boolean {
  try {
    return /microsoft/i.test(readFileSync('/proc/version', 'utf8'));
  } catch {
    return false;
  }
}

/**
 * Mirrors of Debian's main archive that this host uses itself, then Debian's own. A host behind a
 * firewall often reaches only its own mirror.
 */
export function debianMirrors(etcApt = '/etc/apt'): string[] {
  const texts = [readText(join(etcApt, 'sources.list'))];
  for (const name of listFolder(join(etcApt, 'sources.list.d'))) {
    if (/\.(?:list|sources)$/.test(name))
      texts.push(readText(join(etcApt, 'sources.list.d', name)));
  }
  const found = texts.flatMap(mirrorsIn);
  return [...new Set([...found, DEFAULT_MIRROR])];
}

/** Both forms: `deb [options] <uri> <suite> ...` and `URIs: <uri> ...`. */
export function mirrorsIn(text: string): string[] {
  const uris: string[] = [];
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    const single = /^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+\S/.exec(line);
    if (single?.[1] !== undefined) uris.push(single[1]);
    const many = /^URIs:\s*(.*)$/i.exec(line);
    if (many?.[1] !== undefined) uris.push(...many[1].split(/\s+/));
  }
  return uris
    .map((uri) => uri.replace(/\/+$/, ''))
    .filter((uri) => /^(?:https?|file):\/\/.*\/debian$/.test(uri));
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
