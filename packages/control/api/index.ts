export { loadBodies } from './app.ts';
export type {
  CertificateDesk,
  CertificateView,
} from './context.ts';
export {
  type ApiOptions,
  portError,
  type RunningApi,
  startApi,
} from './server.ts';
