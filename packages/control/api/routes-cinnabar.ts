/** What Azure has no word for. Same token; no api-version: these change with the build. */
import type { Policy } from '../../endpoint/control-protocol.ts';
import { ControlError } from '../errors.ts';
import type { Answer } from './answer.ts';
import { ok } from './answer.ts';
import { type Call, databaseOf, param } from './call.ts';
import { clusterFilter, clusterNameIn, namesOf } from './cluster-names.ts';
import { DEFAULT_HISTORY, MAX_HISTORY } from './limits.ts';
import { percentComplete, stepsOf } from './lro.ts';
import type { Route } from './router.ts';
import { DATABASE_PATH } from './routes-databases.ts';

const POLICIES: readonly Policy[] = ['OSSCluster', 'EnterpriseCluster', 'NoCluster'];

export const CINNABAR_ROUTES: readonly Route[] = [
  extension('GET', '/cinnabar/status', (call) => ok(call.service.status())),
  extension('GET', '/cinnabar/skus', skus),
  extension('GET', '/cinnabar/operations', operations),
  extension('GET', '/cinnabar/operations/:operation', operation),
  extension('POST', '/cinnabar/operations/:operation/cancel', cancel),
  extension('GET', '/cinnabar/events', events),
  extension('POST', '/cinnabar/stop', stop),
  extension('POST', '/cinnabar/endpoint/reload', reloadEndpoint),
  extension('GET', `${DATABASE_PATH}/shards`, shards),
  extension('GET', `${DATABASE_PATH}/connection`, connection),
];

function extension(method: Route['method'], path: string, handle: Route['handle']): Route {
  return { method, path, kind: 'extension', handle };
}

/** Keys, memory and lag of one moment: a copy that is there to its end was shown with keys of seconds ago. */
async function shards(call: Call): Promise<Answer> {
  const { id } = databaseOf(call).database;
  await call.context.lookAt(id);
  return ok({ value: call.service.shards(id) });
}

function skus(call: Call): Answer {
  const asked = call.query.get('policy') ?? 'OSSCluster';
  const policy = POLICIES.find((each) => each.toLowerCase() === asked.toLowerCase());
  if (policy === undefined) throw badQuery('policy', asked, POLICIES.join(', '));
  const ha = (call.query.get('highavailability') ?? 'Enabled').toLowerCase();
  if (ha !== 'enabled' && ha !== 'disabled') {
    throw badQuery('highAvailability', ha, 'Enabled, Disabled');
  }
  const value = call.context.skus.skus({ policy, highAvailability: ha === 'enabled' });
  return ok({ value, policy, highAvailability: ha === 'enabled' });
}

function operations(call: Call): Answer {
  const before = call.query.get('before');
  const value = call.service
    .operations({ ...clusterFilter(call), limit: topOf(call), ...(before ? { before } : {}) })
    .map((each) => operationView(call, each));
  return ok({ value });
}

function operation(call: Call): Answer {
  const id = param(call, 'operation');
  const found = call.service.operation(id.toLowerCase());
  if (found !== null) return ok(operationView(call, found));
  throw new ControlError('ResourceNotFound', 404, `There is no operation '${id.slice(0, 60)}'.`);
}

function cancel(call: Call): Answer {
  const id = param(call, 'operation').toLowerCase();
  const canceled = call.service.cancelOperation(id, call.actor);
  return { status: 202, body: operationView(call, canceled) };
}

function operationView(
  call: Call,
  record: NonNullable<ReturnType<Call['service']['operation']>>,
): unknown {
  const { input: _, ...shown } = record;
  return {
    ...shown,
    /** Null where it is about none. */
    cluster: clusterNameIn(record.resourceId),
    steps: stepsOf(call, record),
    percentComplete: percentComplete(call, record),
  };
}

function events(call: Call): Answer {
  const since = call.query.get('since');
  const seen = since === undefined || since === '' ? undefined : Number(since);
  if (seen !== undefined && !(Number.isSafeInteger(seen) && seen >= 0)) {
    throw badQuery('since', since ?? '', 'the id of an event');
  }
  const filter = { ...clusterFilter(call), limit: topOf(call) };
  const found = call.service.events(seen === undefined ? filter : { ...filter, since: seen });
  const names = namesOf(
    call,
    found.map(({ clusterId }) => clusterId),
  );
  // Null where it concerns no cluster.
  const value = found.map((each) => ({
    ...each,
    cluster: names.get(each.clusterId) ?? null,
  }));
  return ok({ value });
}

function topOf(call: Call): number {
  const top = call.query.get('top');
  if (top === undefined || top === '') return DEFAULT_HISTORY;
  const count = Number(top);
  if (Number.isInteger(count) && count >= 1) return Math.min(count, MAX_HISTORY);
  throw badQuery('top', top, `1 to ${MAX_HISTORY}`);
}

function badQuery(name: string, value: string, expected: string): ControlError {
  return new ControlError(
    'InvalidParameter',
    400,
    `${name} '${value.slice(0, 40)}' is not valid: ${expected}.`,
    name,
  );
}

async function reloadEndpoint(call: Call): Promise<Answer> {
  await call.context.reloadEndpoint();
  return ok(call.service.status().endpoint);
}

function stop(call: Call): Answer {
  const { save = true } = call.bodies.small.stop(call);
  // After this answer has had its turn on the wire.
  setImmediate(() => call.context.stop({ save }));
  const withinSeconds = Math.ceil(call.context.stopWithinMs() / 1000);
  return { status: 202, body: { stopping: true, save, withinSeconds } };
}

/** Everything a client needs but the key. */
function connection(call: Call): Answer {
  const { cluster, database } = databaseOf(call);
  const { settings, port } = database;
  const tls = settings.clientProtocol === 'Encrypted';
  const host = call.service.hostName(cluster);
  const shards = call.service.shards(database.id);
  return ok({
    host,
    port,
    tls,
    policy: settings.policy,
    caFile: tls ? call.service.status().caFile : null,
    username: 'default',
    accessKeys: settings.accessKeys,
    shards:
      settings.policy === 'OSSCluster'
        ? shards.flatMap((shard) =>
            shard.instances
              .filter(({ clientPort }) => clientPort > 0)
              .map(({ clientPort, role }) => ({
                shard: shard.shard.index,
                host,
                port: clientPort,
                role,
              })),
          )
        : [],
  });
}
