/**
 * The api-versions of Microsoft.Cache/redisEnterprise, and what each of them knows.
 *
 * A version is chosen by each request; one az session mixes several. A field that a version does
 * not know is left out of its answers, and keeps its stored value when a PUT of that version does
 * not say it. Sources: the provider's published specifications and recorded answers.
 */
import { ControlError } from '../errors.ts';

/** Newest stable one that shipping clients use: first, because az takes the first non-preview. */
export const BASE_VERSION = '2025-07-01';

const STABLE = [
  BASE_VERSION,
  '2026-09-01',
  '2025-04-01',
  '2024-10-01',
  '2024-02-01',
  '2023-11-01',
  '2023-07-01',
  '2022-01-01',
  '2021-08-01',
  '2021-03-01',
];
const PREVIEW = [
  '2026-10-01-preview',
  '2026-06-01-preview',
  '2026-05-01-preview',
  '2026-02-01-preview',
  '2025-08-01-preview',
  '2025-05-01-preview',
  '2024-09-01-preview',
  '2024-06-01-preview',
  '2024-03-01-preview',
  '2023-10-01-preview',
  '2023-08-01-preview',
  '2023-03-01-preview',
  '2022-11-01-preview',
  '2021-02-01-preview',
  '2020-10-01-preview',
];

export const API_VERSIONS: readonly string[] = [...STABLE, ...PREVIEW];

/** First version (by date) that knows a field; fields that are not here were always there. */
const SINCE = {
  identity: '2023-03-01',
  encryption: '2023-03-01',
  highAvailability: '2024-09-01',
  redundancyMode: '2024-09-01',
  deferUpgrade: '2024-09-01',
  accessKeysAuthentication: '2024-09-01',
  databaseRedisVersion: '2024-09-01',
  systemData: '2024-09-01',
  /** From here on keys are off unless a request says otherwise. */
  keysOffByDefault: '2025-04-01',
  kind: '2025-07-01',
  publicNetworkAccess: '2025-07-01',
  maintenanceConfiguration: '2025-08-01',
  notifyKeyspaceEvents: '2026-02-01',
  firewallRules: '2026-10-01',
} as const;

export type VersionedField = keyof typeof SINCE;

export interface ApiVersion {
  readonly name: string;
  knows(field: VersionedField): boolean;
}

function makeVersion(name: string): ApiVersion {
  const date = name.slice(0, 10);
  return { name, knows: (field) => date >= SINCE[field] };
}

const TABLE = new Map(API_VERSIONS.map((name) => [name, makeVersion(name)]));
const FORM = /^\d{4}-\d{2}-\d{2}(-[a-z]+)?$/;

export const BASE: ApiVersion = makeVersion(BASE_VERSION);

/** Null when the provider has no such version. */
export function findVersion(name: string): ApiVersion | null {
  return TABLE.get(name.toLowerCase()) ?? null;
}

/** Throws ControlError when it is missing or malformed. Any well-formed version passes. */
export function checkVersionForm(value: string | undefined): string {
  if (value === undefined || value === '') {
    throw new ControlError(
      'MissingApiVersionParameter',
      400,
      `The api-version query parameter (?api-version=) is required for all requests, for example api-version=${BASE_VERSION}.`,
    );
  }
  // Core versions of 2014 and before had other forms ('1.0'); no client of today sends them here.
  if (FORM.test(value.toLowerCase())) return value;
  throw new ControlError(
    'InvalidApiVersionParameter',
    400,
    `The api-version '${value.slice(0, 40)}' is invalid: it is a date, with or without a suffix, for example ${BASE_VERSION} or 2025-05-01-preview.`,
  );
}

export function unknownVersion(name: string, location: string): ControlError {
  return new ControlError(
    'NoRegisteredProviderFound',
    400,
    `No registered resource provider found for location '${location}' and API version '${name}' for type 'redisEnterprise'. The supported api-versions are '${API_VERSIONS.join(', ')}'. The supported locations are 'local' and the names of Azure's regions.`,
  );
}
