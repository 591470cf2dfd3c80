/** What is asked for in one turn goes out joined, in pieces that are bounded in bytes and commands: on each connection by itself. */
import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { lanes } from '../index.ts';
import { BATCH_BYTES_MAX, BATCH_COMMANDS_MAX } from '../limits.ts';
import { clusterKinds } from '../testing/clients.ts';
import { startCluster, type TestCluster } from '../testing/server.ts';

let cluster: TestCluster;
before(async () => {
  cluster = await startCluster(3);
});
after(() => cluster?.stop());

interface Piece {
  readonly bytes: number;
  readonly commands: number;
}

/** All that is written to these ports from now on. */
function listen(
  t: { after(run: () => void): void },
  ports: readonly number[],
): Map<number, Piece[]> {
  const pieces = new Map<number, Piece[]>();
  const { write } = Socket.prototype;
  t.after(() => {
    Socket.prototype.write = write;
  });
  Socket.prototype.write = function written(this: Socket, ...args: unknown[]): boolean {
    const port = this.remotePort ?? 0;
    const text = String(args[0]);
    if (ports.includes(port)) {
      const piece = {
        bytes: text.length,
        commands: text.match(/\$3\r\n(?:set|SET)\r\n/g)?.length ?? 0,
      };
      pieces.set(port, [...(pieces.get(port) ?? []), piece]);
    }
    return Reflect.apply(write, this, args);
  };
  return pieces;
}

for (const kind of clusterKinds) {
  describe(kind.name, () => {
    test('bounded in bytes and in commands, node by node', async (t) => {
      const { ports } = cluster;
      const pieces = listen(t, ports);
      const redis = lanes(() => kind.make(ports), { small: { max: 1 }, bulk: { max: 0 } });
      t.after(() => kind.close(redis));
      await kind.connect(redis);
      for (let i = 0; i < 30; i += 1) await redis.set(`warm${i}`, 'v');
      pieces.clear();
      // Many small ones are bounded by their number, larger ones by their bytes.
      await Promise.all(Array.from({ length: 9_000 }, (_, i) => redis.set(`s${i}`, 'v')));
      await Promise.all(
        Array.from({ length: 600 }, (_, i) => redis.set(`l${i}`, 'x'.repeat(2_000))),
      );
      assert.equal(pieces.size, 3);
      let commands = 0;
      for (const [port, all] of pieces) {
        for (const piece of all) {
          assert.ok(piece.commands <= BATCH_COMMANDS_MAX, `${piece.commands} commands to ${port}`);
          assert.ok(piece.bytes <= BATCH_BYTES_MAX + 2_100, `${piece.bytes} bytes to ${port}`);
          commands += piece.commands;
        }
        // The library of node-redis has a write for each, which it corks.
        if (kind.library !== 'redis')
          assert.ok(all.length < 200, `${all.length} writes to ${port}`);
      }
      assert.equal(commands, 9_600);
    });

    test('a node that stops holds up its own commands only', async (t) => {
      const { ports, nodes } = cluster;
      const redis = lanes(() => kind.make(ports), {
        small: { max: 1 },
        bulk: { max: 0 },
        deadlines: false,
      });
      await kind.connect(redis);
      const keys = Array.from({ length: 60 }, (_, i) => `k${i}`);
      for (const key of keys) await redis.set(key, 'v');
      const [first] = nodes;
      first?.kill('SIGSTOP');
      t.after(async () => {
        first?.kill('SIGCONT');
        await kind.close(redis);
      });
      let done = 0;
      const all = keys.map(async (key) => {
        for (let i = 0; i < 50; i += 1) await redis.set(key, 'x'.repeat(5_000));
        done += 1;
      });
      const ended = new Promise<void>((resolve) => {
        const look = setInterval(() => {
          // A third of the keys, give or take, are of the node that says nothing.
          if (done < 30) return;
          clearInterval(look);
          resolve();
        }, 5);
        t.after(() => clearInterval(look));
      });
      await ended;
      assert.ok(done < keys.length);
      first?.kill('SIGCONT');
      await Promise.all(all);
    });
  });
}
