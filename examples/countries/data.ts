/**
 * The data set: the npm package `world-countries` (ODbL, gathered by Mohammed Le Doze), 250 countries
 * and territories. It has no population, so sizes here are areas.
 */
import { createRequire } from 'node:module';
import type { Countries } from 'world-countries';

// A CommonJS package whose types describe its other form: required, the two agree.
const countries = createRequire(import.meta.url)('world-countries') as Countries;

export interface Country {
  /** Three letters, ISO 3166-1. */
  readonly code: string;
  readonly name: string;
  /** Empty where there is none. */
  readonly capital: string;
  readonly region: string;
  readonly areaKm2: number;
  readonly latitude: number;
  readonly longitude: number;
  /** Codes of the countries with a common border. */
  readonly neighbours: readonly string[];
}

export const COUNTRIES: readonly Country[] = countries.map((each) => ({
  code: each.cca3,
  name: each.name.common,
  capital: each.capital[0] ?? '',
  region: each.region,
  // Unknown areas are -1 in the set.
  areaKm2: Math.max(0, each.area),
  latitude: each.latlng[0],
  longitude: each.latlng[1],
  neighbours: each.borders,
}));
