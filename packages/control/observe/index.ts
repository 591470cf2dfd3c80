export { ConnectionAudit } from './audit.ts';
export type * from './contract.ts';
export { Observe, type ObserveDeps } from './observe.ts';
