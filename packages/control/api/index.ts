export { loadBodies } from './app.ts';
export type {
  ApiContext,
  CertificateDesk,
  CertificateView,
  LogLevel,
  SkuSource,
} from './context.ts';
export {
  type ApiOptions,
  type ListenerOptions,
  portError,
  type RunningApi,
  startApi,
} from './server.ts';
export { API_VERSIONS, BASE_VERSION } from './versions.ts';
