/**
 * The control process is killed inside a planned failover, at each of its steps, while a client counts
 * up through the endpoint. The next control process finishes the switch or undoes it; the client gets
 * no error, and what it was told is there.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FAILPOINT_VARIABLE, type Failpoint } from '../databases/failpoints.ts';
import { connect, type Policy, target } from './clients.ts';
import { HEAL_DEADLINE_MS } from './limits.ts';
import { isAlive } from './processes.ts';
import { eventually, Service } from './service.ts';

/** Each step once; those where the record changes hands with both kinds of database. */
const ROWS: readonly { readonly policy: Policy; readonly points: readonly Failpoint[] }[] = [
  { policy: 'EnterpriseCluster', points: ['pause:after', 'decide:after', 'release:before'] },
  { policy: 'NoCluster', points: ['hold:after', 'decide:after', 'tell:after'] },
];
/** A switch on a crowded machine is tried for a minute. */
const SWITCH_DEADLINE_MS = 70_000;
const WARM = 20;

const service = new Service();
before(() => service.up());
after(() => service.close());

async function upWith(point: Failpoint | null): Promise<void> {
  if (point !== null) process.env[FAILPOINT_VARIABLE] = `${point}=crash`;
  try {
    await service.up();
  } finally {
    delete process.env[FAILPOINT_VARIABLE];
  }
}

for (const { policy, points } of ROWS) {
  test(`${policy}: killed at each step of a planned failover`, async (t) => {
    const name = policy.toLowerCase();
    await service.create(name, { database: { clusteringPolicy: policy } });
    await service.healthy(name);
    const client = connect(await target(service, name, policy));
    t.after(() => client.close());
    let [acknowledged, stop] = [0, false];
    let failed: unknown = null;
    const counting = (async () => {
      while (!stop && failed === null) {
        try {
          assert.equal(Number(await client.call('INCR', 'n')), acknowledged + 1);
          acknowledged += 1;
        } catch (error) {
          failed = error;
        }
      }
    })();
    const goesOn = async (what: string): Promise<void> => {
      const from = acknowledged;
      await eventually(what, HEAL_DEADLINE_MS, () => {
        assert.equal(failed, null);
        return acknowledged >= from + WARM ? true : null;
      });
    };
    for (const point of points) {
      await service.killControl();
      await upWith(point);
      await service.healthy(name);
      await goesOn(`counting before ${point}`);
      const { pid } = service;
      // Its answer may die with it.
      const asked = await service
        .call('POST', `${service.database(name)}/failover`, {})
        .catch(() => null);
      if (asked !== null) assert.equal(asked.status, 202, asked.text);
      try {
        await eventually(`dead at ${point}`, SWITCH_DEADLINE_MS, () =>
          isAlive(pid) ? null : true,
        );
      } catch (error) {
        throw new Error(`${error}\n${service.logTail()}`);
      }
      await service.killControl();
      await upWith(null);
      const ended = await service.settled(name);
      assert.equal(ended[0]?.status, 'Succeeded', `${point}: ${JSON.stringify(ended[0]?.error)}`);
      await service.healthy(name);
      await goesOn(`counting after ${point}`);
    }
    stop = true;
    await counting;
    assert.equal(failed, null);
    t.diagnostic(`${acknowledged} increments acknowledged, ${points.length} deaths`);
  });
}
