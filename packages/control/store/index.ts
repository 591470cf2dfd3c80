export { type FolderLock, lockFolder, openDatabase, refuseLostStore } from './open.ts';
export * from './records.ts';
export { RESERVE_FILE, Reserve } from './reserve.ts';
export { Store } from './store.ts';
export type { Sealer } from './tables.ts';
