export { type FolderLock, lockFolder, openDatabase } from './open.ts';
export * from './records.ts';
export { type Sealer, Store } from './store.ts';
