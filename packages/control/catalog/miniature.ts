/**
 * Big SKUs on a small machine, for development: memory times a factor, shards up to a number. The
 * other figures (connections, policy, ports) stay. Wherever figures of such a cache are shown, the
 * text made here is shown with them.
 */
import { ControlError } from '../errors.ts';

export interface Miniature {
  /** Above 0, at most 1. */
  readonly memoryFactor: number;
  /** At least 1; null: as many as the SKU has. */
  readonly maxShards: number | null;
}

const FORM = "'memory=0.01,shards=2' (either part may be left out)";

/**
 * Reads the setting `CINNABAR_MINIATURE`, e.g. 'memory=0.01,shards=2'. Empty or absent: null.
 *
 * @throws ControlError 400 `InvalidMiniature`
 */
export function parseMiniature(text: string | undefined): Miniature | null {
  if (text === undefined || text.trim() === '') return null;
  let memoryFactor: number | null = null;
  let maxShards: number | null = null;
  for (const part of text.split(',')) {
    const [name, value, ...rest] = part.split('=').map((each) => each.trim());
    if (value === undefined || rest.length > 0) throw invalid(text, `'${part}' is not name=value`);
    if (name === 'memory' && memoryFactor === null) memoryFactor = factor(text, value);
    else if (name === 'shards' && maxShards === null) maxShards = count(text, value);
    else throw invalid(text, `'${name}' is not expected there`);
  }
  return { memoryFactor: memoryFactor ?? 1, maxShards };
}

/** What was made smaller, e.g. 'in miniature: 64 MB instead of 768 GB, 2 of 192 shards'. */
export function describeMiniature(figures: {
  readonly fullBytes: number;
  readonly bytes: number;
  readonly fullShards: number;
  readonly shards: number;
}): string | null {
  const parts: string[] = [];
  if (figures.bytes !== figures.fullBytes) {
    parts.push(`${formatBytes(figures.bytes)} instead of ${formatBytes(figures.fullBytes)}`);
  }
  if (figures.shards !== figures.fullShards) {
    parts.push(`${figures.shards} of ${figures.fullShards} shards`);
  }
  return parts.length === 0 ? null : `in miniature: ${parts.join(', ')}`;
}

/** Decimal units, as in the catalogue: '9.6 GB', '33.6 MB'. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  const sign = bytes < 0 ? '-' : '';
  let value = Math.abs(bytes);
  let unit = 0;
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1);
  return `${sign}${digits.replace(/\.0$/, '')} ${units[unit]}`;
}

function factor(text: string, value: string): number {
  const number = value === '' ? Number.NaN : Number(value);
  if (!(number > 0 && number <= 1)) throw invalid(text, 'memory must be above 0 and at most 1');
  return number;
}

function count(text: string, value: string): number {
  const number = value === '' ? Number.NaN : Number(value);
  if (!Number.isInteger(number) || number < 1) {
    throw invalid(text, 'shards must be a whole number of at least 1');
  }
  return number;
}

function invalid(text: string, why: string): ControlError {
  return new ControlError(
    'InvalidMiniature',
    400,
    `CINNABAR_MINIATURE is '${text}': ${why}. Write ${FORM}.`,
    'CINNABAR_MINIATURE',
  );
}
