/** All routes. Of two that fit, the first one wins: fixed words before ':names'. */
import type { Route } from './router.ts';
import { CERTIFICATE_ROUTES } from './routes-certificate.ts';
import { CINNABAR_ROUTES } from './routes-cinnabar.ts';
import { CLUSTER_ROUTES } from './routes-clusters.ts';
import { DATABASE_ROUTES } from './routes-databases.ts';
import { DISCOVERY_ROUTES } from './routes-discovery.ts';
import { FAILOVER_ROUTES } from './routes-failover.ts';
import { FAILPOINT_ROUTES } from './routes-failpoint.ts';
import { GROUP_ROUTES } from './routes-groups.ts';
import { MAINTENANCE_ROUTES } from './routes-maintenance.ts';
import { NOT_BUILT_ROUTES } from './routes-not-built.ts';
import { OBSERVE_ROUTES } from './routes-observe.ts';
import { OPERATION_ROUTES } from './routes-operations.ts';
import { SUBSCRIPTION_ROUTES } from './routes-subscription.ts';
import { TAG_ROUTES } from './routes-tags.ts';

export const ROUTES: readonly Route[] = [
  ...CINNABAR_ROUTES,
  ...CERTIFICATE_ROUTES,
  ...FAILOVER_ROUTES,
  ...FAILPOINT_ROUTES,
  ...MAINTENANCE_ROUTES,
  ...OBSERVE_ROUTES,
  ...CLUSTER_ROUTES,
  ...DATABASE_ROUTES,
  ...OPERATION_ROUTES,
  ...TAG_ROUTES,
  ...GROUP_ROUTES,
  ...SUBSCRIPTION_ROUTES,
  ...NOT_BUILT_ROUTES,
  ...DISCOVERY_ROUTES,
];
