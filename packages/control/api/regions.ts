/** Azure's public regions by name, for lists and for the spelling that the service answers with. */
import { normalLocation } from '../resources/index.ts';

const DISPLAY_NAMES = [
  'Australia Central',
  'Australia Central 2',
  'Australia East',
  'Australia Southeast',
  'Austria East',
  'Belgium Central',
  'Brazil South',
  'Brazil Southeast',
  'Canada Central',
  'Canada East',
  'Central India',
  'Central US',
  'Chile Central',
  'East Asia',
  'East US',
  'East US 2',
  'France Central',
  'France South',
  'Germany North',
  'Germany West Central',
  'Indonesia Central',
  'Israel Central',
  'Italy North',
  'Japan East',
  'Japan West',
  'Korea Central',
  'Korea South',
  'Malaysia West',
  'Mexico Central',
  'New Zealand North',
  'North Central US',
  'North Europe',
  'Norway East',
  'Norway West',
  'Poland Central',
  'Qatar Central',
  'South Africa North',
  'South Africa West',
  'South Central US',
  'South India',
  'Southeast Asia',
  'Spain Central',
  'Sweden Central',
  'Switzerland North',
  'Switzerland West',
  'UAE Central',
  'UAE North',
  'UK South',
  'UK West',
  'West Central US',
  'West Europe',
  'West India',
  'West US',
  'West US 2',
  'West US 3',
];

export interface Region {
  readonly name: string;
  readonly displayName: string;
}

/** `local` is this machine; the others are accepted as names, so that templates run unchanged. */
export const REGIONS: readonly Region[] = [
  { name: 'local', displayName: 'Local' },
  ...DISPLAY_NAMES.map((displayName) => ({ name: normalLocation(displayName), displayName })),
];

const DISPLAY = new Map(REGIONS.map((region) => [region.name, region.displayName]));

/** 'westus3' -> 'West US 3'; names that are not in the list come back as they are. */
export function displayLocation(name: string): string {
  return DISPLAY.get(name) ?? name;
}
