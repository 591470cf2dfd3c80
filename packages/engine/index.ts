/** One engine process: find a build, configure it, start it, talk to it, end it. */
export { bindTo, FILES } from './config.ts';
export type * from './contract.ts';
export { EngineError } from './errors.ts';
export { parseClients, parseInfo } from './facts.ts';
export { type Answer, type Asked, HelperThread } from './helper-thread.ts';
export { CONTROL_NAME, openLink } from './link.ts';
export { LocalNode, type LocalNodeOptions, labelOf } from './local-node.ts';
export { boundLogs } from './log-bound.ts';
export type { Program } from './process.ts';
export { inspectProcess, refOf } from './procfs.ts';
export {
  type Bundle,
  bundledEngine,
  engineCacheDir,
  engineOfProgram,
  type ProvisionedEngine,
  type ProvisionOptions,
  programOf,
  provisionEngine,
  provisionPackages,
} from './provision/index.ts';
