/**
 * The port of a cache that is being made is looked for when it is asked for, and listened on when its
 * first shard serves. Somebody else may take it in between: another Cinnabar on the machine that looks from
 * the same number up does so. Nobody has been at that port yet, so where it was chosen here, and not by the
 * user, another one is.
 */
import { decidePort } from '../../resources/decide-port.ts';
import type { OperationRecord } from '../../store/records.ts';
import type { DatabaseLoop } from '../loop.ts';

/** Called for the creation of a database while it is open. */
export function leaveTakenPort(loop: DatabaseLoop, { input }: OperationRecord): void {
  const { port } = loop.database();
  // What the endpoint said last may be about the port before.
  const taken = loop.deps.listenProblem(loop.id)?.includes(`:${port}: port-taken`) === true;
  if (taken && input['portChosen'] === true) loop.once('endpoint port', async () => leave(loop));
}

function leave(loop: DatabaseLoop): void {
  const { store, ports } = loop.deps;
  const from = loop.database().port;
  store.write(() => {
    const to = decidePort(null, {
      claims: store.ports(),
      listening: ports.listening(),
      firstPort: from + 1,
      describe: ports.describe,
      ownerName: (owner) => owner,
    });
    store.freePort(from);
    store.claimPort({ port: to, owner: loop.id, purpose: 'endpoint' });
    store.putDatabase({ ...loop.database(), port: to });
    const message = `Port ${from}, which was chosen for the cache, was taken by ${ports.describe(from)} before the cache served: it is at port ${to} instead.`;
    loop.event('port-taken', 'warning', message, { data: { from, to } });
  });
  loop.deps.publish(loop.id);
}
