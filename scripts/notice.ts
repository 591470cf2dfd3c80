/**
 * Writes NOTICE: who wrote what the installed package contains. The list is every package that is
 * installed with Cinnabar (from package-lock.json, without what only developers get), with the
 * licence it names and the copyright lines of its licence file.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

interface Locked {
  readonly version?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly optional?: boolean;
}

const HEAD = `Cinnabar
Copyright 2026 The Cinnabar authors

This product is licensed under the Apache License, Version 2.0; see LICENSE.

Cinnabar is not affiliated with, endorsed by or sponsored by Microsoft Corporation, Redis Ltd. or the
Valkey project (LF Projects, LLC). "Azure" and "Azure Managed Redis" are trademarks of Microsoft,
"Redis" is a trademark of Redis Ltd., "Valkey" is a trademark of LF Projects, LLC. They are used here
only to say what Cinnabar works with and what it is compatible with.

Cinnabar contains neither Valkey nor Redis. It runs an engine that is installed on the machine, or that
it fetches from the Debian archive at the user's first start; Valkey is distributed under the
BSD 3-Clause licence, and Debian's packages carry their licences in usr/share/doc.

These packages are installed with Cinnabar, each under its own licence:
`;

export function notice(): string {
  const lock = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, Locked>>;
  };
  const lines: string[] = [];
  for (const [place, facts] of Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (place === '' || facts.dev === true || facts.devOptional === true || facts.optional === true)
      continue;
    const name = place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length);
    const folder = path.join(root, place);
    lines.push('', `${name} ${facts.version ?? '?'}: ${facts.license ?? licenceOf(folder)}`);
    for (const line of copyrights(folder)) lines.push(`  ${line}`);
  }
  return `${HEAD}${lines.join('\n')}\n`;
}

function licenceOf(folder: string): string {
  const manifest = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as Locked;
  if (typeof manifest.license === 'string') return manifest.license;
  throw new Error(`${folder} names no licence: look, and leave the package out or ask its author.`);
}

const MOST_LINES = 5;

/** The lines of its licence file that say whose it is. */
function copyrights(folder: string): string[] {
  if (!existsSync(folder)) throw new Error(`${folder} is not installed. Type: npm ci`);
  const file = readdirSync(folder).find((name) => /^(licen[cs]e|copying)/i.test(name));
  if (file === undefined) return [];
  return readFileSync(path.join(folder, file), 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /^(portions )?copyright\b.*(\d{4}|\(c\)|©)/i.test(line))
    .slice(0, MOST_LINES);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(path.join(root, 'NOTICE'), notice());
}
