/** For tests: short words for the calls that they make most. */
import assert from 'node:assert/strict';
import { type Answer, type Rig, startRig } from './testing-rig.ts';

export const V = 'api-version=2025-07-01';
export const CLUSTER = {
  location: 'westus3',
  sku: { name: 'Balanced_B1' },
  properties: { publicNetworkAccess: 'Enabled' },
};

const FIRST_PORT = 12_000;
const DEADLINE_MS = 10_000;
const POLL_MS = 5;

export interface Calls {
  readonly rig: Rig;
  group(name?: string): string;
  cluster(name: string): string;
  database(name: string): string;
  /** A name that no other test has. */
  fresh(): string;
  call(method: string, path: string, body?: unknown, query?: string): Promise<Answer>;
  /** Name of a cluster that is Running. */
  makeCluster(extra?: object): Promise<string>;
  /** Name of a cluster with a database that runs and takes keys. */
  makeCache(properties?: object): Promise<string>;
}

export async function openCalls(): Promise<Calls> {
  const rig = await startRig({ firstPort: FIRST_PORT });
  let count = 0;
  const group: Calls['group'] = (name = 'default') =>
    `/subscriptions/${rig.sub}/resourceGroups/${name}`;
  const cluster: Calls['cluster'] = (name) =>
    `${group()}/providers/Microsoft.Cache/redisEnterprise/${name}`;
  const database: Calls['database'] = (name) => `${cluster(name)}/databases/default`;
  const fresh = () => `c${++count}`;
  const call: Calls['call'] = (method, path, body, query = V) =>
    rig.call(method, `${path}?${query}`, body === undefined ? {} : { body });
  const makeCluster: Calls['makeCluster'] = async (extra = {}) => {
    const name = fresh();
    const answer = await call('PUT', cluster(name), { ...CLUSTER, ...extra });
    assert.equal(answer.status, 201, answer.text);
    assert.equal((await rig.done(answer)).status, 'Succeeded');
    return name;
  };
  const makeCache: Calls['makeCache'] = async (properties = {}) => {
    const name = await makeCluster();
    const answer = await call('PUT', database(name), {
      properties: { accessKeysAuthentication: 'Enabled', ...properties },
    });
    assert.equal(answer.status, 201, answer.text);
    assert.equal((await rig.done(answer)).status, 'Succeeded');
    return name;
  };
  return { rig, group, cluster, database, fresh, call, makeCluster, makeCache };
}

/** ARM's error document with this code. */
export function refused(answer: Answer, status: number, code: string): void {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.body.error.code, code, answer.text);
  assert.equal(typeof answer.body.error.message, 'string');
  assert.match(answer.headers['content-type'] ?? '', /^application\/json; charset=utf-8$/);
}

export async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('the condition was not met in time');
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
