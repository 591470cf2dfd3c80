/** One engine process: find a build, configure it, start it, talk to it, end it. */
export { type EngineCapabilities, knownRules, versionAtLeast } from './capabilities.ts';
export { bindTo, FILES, type LaunchFiles, launchFiles, settingName } from './config.ts';
export type * from './contract.ts';
export { engineLogTail } from './data-folder.ts';
export { EngineError } from './errors.ts';
export { clusterFacts, factsFrom, parseClients, parseInfo } from './facts.ts';
export { type Answer, type Asked, HelperThread } from './helper-thread.ts';
export { CONTROL_NAME, INTERNAL_USERS, openLink } from './link.ts';
export { LocalNode, type LocalNodeOptions, labelOf } from './local-node.ts';
export { boundLogs } from './log-bound.ts';
export { fence, type Program, startDetached } from './process.ts';
export { inspectProcess, refOf } from './procfs.ts';
export {
  type Bundle,
  bundledEngine,
  engineCacheDir,
  engineOfProgram,
  type ListedBundle,
  listBundles,
  type Progress,
  type ProvisionedEngine,
  type ProvisionOptions,
  programOf,
  provisionEngine,
  provisionPackages,
} from './provision/index.ts';
