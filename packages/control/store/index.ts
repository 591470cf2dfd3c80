export { type FolderLock, lockFolder, openDatabase, refuseLostStore } from './open.ts';
export * from './records.ts';
export { Store } from './store.ts';
export type { Sealer } from './tables.ts';
