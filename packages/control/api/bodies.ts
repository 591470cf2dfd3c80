/**
 * What reads request bodies, in one place, because it is loaded apart: the library of schemas is two
 * thirds of all files that a start reads, and a start has nothing to read with it. So the first write
 * loads it, or the moment after a start, whichever comes first (`app.ts`).
 */
export { clusterFromPatch, clusterFromPut } from './cluster-body.ts';
export { databaseFromPatch, databaseFromPut } from './database-body.ts';
export { changedTags, readGroup, readTags } from './group-body.ts';
export * as small from './small-bodies.ts';
