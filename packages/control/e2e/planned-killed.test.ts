/**
 * The control process is killed inside a planned failover, at each of its steps, while a client counts
 * up through the endpoint. The next control process finishes the switch or undoes it; the client gets
 * no error, and what it was told is there.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FAILPOINT_VARIABLE, type Failpoint } from '../databases/failpoints.ts';
import { connect, type Policy, target } from './clients.ts';
import { HEAL_DEADLINE_MS, OPERATION_DEADLINE_MS } from './limits.ts';
import { isAlive } from './processes.ts';
import { eventually, Service } from './service.ts';

const POINTS: readonly Failpoint[] = [
  'hold:after',
  'pause:after',
  'decide:after',
  'tell:after',
  'release:before',
];
const POLICIES: readonly Policy[] = ['EnterpriseCluster', 'NoCluster'];
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

for (const policy of POLICIES) {
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
    for (const point of POINTS) {
      await service.killControl();
      await upWith(point);
      await service.healthy(name);
      await goesOn(`counting before ${point}`);
      const { pid } = service;
      await service.call('POST', `${service.database(name)}/failover`, {}).catch(() => null);
      await eventually(`dead at ${point}`, OPERATION_DEADLINE_MS, () =>
        isAlive(pid) ? null : true,
      );
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
    t.diagnostic(`${acknowledged} increments acknowledged, ${POINTS.length} deaths`);
  });
}
