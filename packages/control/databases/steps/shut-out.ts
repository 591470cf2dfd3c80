/**
 * Shards are ports of the endpoint from now on (`shardAccess: relayed`): who comes to the engines
 * themselves has to leave. A refused command, or a refused login, is an error that applications see, and
 * no reason for a client to look elsewhere. A connection that ends is both: its commands are tried again,
 * and when no connection to any node holds, the client asks the cache's own port where to go. So on all
 * engines at once every connection of clients is ended as soon as it is there, until nobody has come for
 * a while; the user is turned off together with the last ones. By then the endpoint tells whoever asks
 * of its own ports.
 */
import { CLIENT_USER } from '../../auth/users.ts';
import { LEAVE_MS, LEAVE_PAUSE_MS, LEFT_MS, VERB_DEADLINE_MS } from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';
import { commandsOf, usersOf } from '../users.ts';

export async function shutOut(loop: DatabaseLoop): Promise<void> {
  const running = loop.instances().filter(({ phase }) => phase === 'running');
  const engines = await Promise.all(
    running.map(async ({ id }) => ({
      link: loop.watch(id).link,
      users: usersOf(loop, true, await commandsOf(loop, id)),
    })),
  );
  const someCame = async (): Promise<boolean> => {
    const cut = engines.map(({ link }) => link.disconnect(CLIENT_USER, VERB_DEADLINE_MS));
    return (await Promise.all(cut)).some((count) => count > 0);
  };
  const { clock } = loop.deps;
  if (await someCame()) {
    const until = clock.ticks() + LEAVE_MS;
    let last = clock.ticks();
    while (clock.ticks() < Math.min(until, last + LEFT_MS)) {
      await clock.sleep(LEAVE_PAUSE_MS);
      if (await someCame()) last = clock.ticks();
    }
  }
  await Promise.all(
    engines.flatMap(({ link, users }) =>
      users
        .filter(({ name }) => name === CLIENT_USER)
        .map((user) => link.setUser(user, VERB_DEADLINE_MS, true)),
    ),
  );
}
