/** CLUSTER: one address looks like one server; the seed of OSSCluster answers from the snapshot. */
import { type Handler, refuse } from './dispatch.ts';

export const clusterCommand: Handler = ({ session }) =>
  refuse(session, '-ERR This instance has cluster support disabled\r\n');
