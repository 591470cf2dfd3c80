/** How connections begin and end: factories that fail, servers that come late, clients that are closed. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { type EventEmitter, getEventListeners, once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { calling, type KitError, lanes, lanesOf, RetryBudget } from '../index.ts';
import { type AnyClient, plainKinds } from '../testing/clients.ts';
import { startProxy } from '../testing/proxy.ts';
import { ask, freePort, startServer, type TestServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

for (const kind of plainKinds) {
  describe(kind.name, () => {
    /** Throws for the n-th connections that `when` names. */
    const faulty = (
      when: (n: number) => boolean,
    ): { make(): AnyClient & object; made: number } => ({
      made: 0,
      make() {
        this.made += 1;
        if (when(this.made)) throw new Error('not now');
        const once =
          kind.library === 'redis'
            ? { socket: noReconnect(server.port) }
            : { retryStrategy: () => null };
        return kind.make([server.port], once);
      },
    });

    test('a factory that throws when a connection is to be replaced is asked again', async () => {
      const factory = faulty((n) => n === 2 || n === 3);
      const redis = lanes(() => factory.make(), { retries: { reconnect: 'client' } });
      await kind.connect(redis);
      await redis.set('replaced', 'yes');
      await ask(server.port, 'CLIENT', 'KILL', 'TYPE', 'normal');
      const said = new Set<string>();
      await until(async () => {
        const got = await redis
          .get('replaced')
          .catch((error: KitError) => said.add(error.code ?? error.message));
        return got === 'yes' && factory.made >= 4;
      });
      said.delete('ERR_CLIENT_OFFLINE');
      said.delete('ERR_CLIENT_LOST');
      assert.deepEqual(
        [...said].filter((code) => code !== 'ERR_CLIENT_FACTORY'),
        [],
      );
      await kind.close(redis);
    });

    test('a factory that throws for a connection that a call needs fails that call, with its cause', async () => {
      let fails = true;
      const factory = faulty((n) => n > 1 && fails);
      const redis = lanes(() => factory.make());
      await kind.connect(redis);
      const thrown = (error: KitError): boolean =>
        error.code === 'ERR_CLIENT_FACTORY' && (error.cause as Error).message === 'not now';
      await assert.rejects(kind.call(redis, 'BLPOP', 'nothing', '1'), thrown);
      await assert.rejects(
        kind.subscribe(redis, 'news', () => {}),
        thrown,
      );
      // A bulk lane would be better for it, and is not needed.
      await redis.set('large', Buffer.alloc(200_000, 'x'));
      assert.equal((await redis.get('large'))?.length, 200_000);
      assert.deepEqual(
        lanesOf(redis).map((lane) => lane.lane),
        ['small-0'],
      );
      fails = false;
      await redis.set('list', 'x').then(() => redis.del('list'));
      await kind.call(redis, 'RPUSH', 'list', 'x');
      assert.ok(await kind.call(redis, 'BLPOP', 'list', '1'));
      await kind.close(redis);
    });

    test('what is no new client is refused, and a client that cannot be made whole is ended', async () => {
      const one = kind.make([server.port]);
      const same = lanes(() => one);
      await kind.connect(same);
      await assert.rejects(kind.call(same, 'BLPOP', 'nothing', '1'), /had given before/);
      await kind.close(same);
      const factory = faulty((n) => n === 2);
      assert.throws(() => lanes(() => factory.make(), { small: { min: 2 } }), {
        code: 'ERR_CLIENT_FACTORY',
      });
      const wrapped = lanes(() => kind.make([server.port]));
      assert.throws(() => lanes(() => wrapped), { code: 'ERR_CLIENT_OPTION' });
      await kind.connect(wrapped);
      await kind.close(wrapped);
    });

    test('calls made before the server is there are sent when it comes, beyond their own deadline', async () => {
      const port = await freePort();
      const redis = lanes(() => kind.make([port]), { deadlines: { fastMs: 100 } });
      const connected = kind.connect(redis);
      const writes = Array.from({ length: 3 }, (_, i) => redis.set(`early${i}`, 'v'));
      const given = performance.now();
      await until(() => performance.now() - given > 200);
      const late = await startServer([], port);
      await Promise.all(writes);
      await connected;
      await kind.close(redis);
      await late.stop();
    });

    test('a barrier that finds no connection goes when there is one, and holds nobody up for ever', async () => {
      const proxy = await startProxy(server.port);
      const redis = lanes(() => kind.make([proxy.port]), { small: { min: 2 } });
      await kind.connect(redis);
      await until(() => lanesOf(redis).every((lane) => lane.state === 'ready'));
      await redis.set('k', 'v');
      proxy.refuse(true);
      proxy.cut();
      await until(() => lanesOf(redis).every((lane) => lane.state !== 'ready'));
      const flush = kind.call(redis, 'FLUSHDB');
      const after = redis.get('k');
      proxy.refuse(false);
      assert.equal(await flush, 'OK');
      assert.equal(await after, null);
      await kind.close(redis);
      await proxy.stop();
    });

    test('a client that rested goes on, over one connection', async () => {
      const redis = lanes(() => kind.make([server.port]), { idleMs: 30 });
      await kind.connect(redis);
      await redis.set('rested', Buffer.alloc(2_000_000, 'x'));
      await Promise.all([redis.get('rested'), redis.get('rested'), redis.get('none')]);
      await until(
        () =>
          lanesOf(redis)
            .map(({ lane, state }) => `${lane} ${state}`)
            .join() === 'small-0 ready',
      );
      assert.equal((await redis.get('rested'))?.length, 2_000_000);
      await kind.close(redis);
    });

    test('what changes one connection is refused with its name, in a batch too, and the others go on', async () => {
      const redis = lanes(() => kind.make([server.port]));
      await kind.connect(redis);
      const refused = (says: RegExp) => (error: KitError) =>
        error.code === 'ERR_CLIENT_UNSUPPORTED' && says.test(error.message);
      await assert.rejects(kind.call(redis, 'CLIENT', 'REPLY', 'OFF'), refused(/^CLIENT REPLY /));
      await assert.rejects(
        kind.call(redis, 'CLIENT', 'TRACKING', 'ON'),
        refused(/^CLIENT TRACKING /),
      );
      const set = ['set', 'batched', 'x'];
      for (const [command, says] of [
        [['client', 'reply', 'off'], /^CLIENT reply /],
        [['select', '5'], /^SELECT in a /],
        [['client', 'tracking', 'on'], /^CLIENT tracking /],
      ] as const) {
        await assert.rejects(kind.pipeline(redis, [set, command]), refused(says));
      }
      assert.equal(await redis.get('batched'), null);
      await kind.close(redis);
    });

    test('monitor: a connection of its own, or refused with the reason', async () => {
      const redis = lanes(() => kind.make([server.port]));
      await kind.connect(redis);
      const { monitor } = redis as unknown as { monitor(listener?: () => void): Promise<Watching> };
      if (kind.library === 'redis') {
        await assert.rejects(
          monitor.call(redis, () => {}),
          { code: 'ERR_CLIENT_UNSUPPORTED' },
        );
      } else {
        const seen: string[] = [];
        const watching = await monitor.call(redis);
        watching.on('monitor', (_time, args) => seen.push(args.join(' ')));
        await redis.set('watched', 'yes');
        await until(() => seen.includes('set watched yes'));
        watching.disconnect();
      }
      assert.equal(await redis.get('none'), null);
      await kind.close(redis);
    });

    test('after its end every call says that the client was closed', async () => {
      const ends = kind.library === 'redis' ? ['close', 'destroy'] : ['quit', 'disconnect'];
      for (const end of ends) {
        const redis = lanes(() => kind.make([server.port]), { small: { min: 3 } });
        const told: string[] = [];
        for (const event of ['close', 'end'] as const)
          (redis as unknown as EventEmitter).on(event, () => told.push(event));
        await kind.connect(redis);
        await redis.set('k', 'v');
        await until(() => lanesOf(redis).every(({ state }) => state === 'ready'));
        await (redis as unknown as Record<string, () => Promise<unknown>>)[end]?.();
        // Once, as by one connection.
        await until(() => told.includes('end'));
        assert.deepEqual(told, kind.library === 'redis' ? ['end'] : ['close', 'end']);
        const calls: (() => Promise<unknown>)[] = [
          () => redis.get('k'),
          () => kind.call(redis, 'BLPOP', 'q', '1'),
          () => kind.pipeline(redis, [['get', 'k']]),
          () => kind.multi(redis, [['get', 'k']]),
          () => kind.subscribe(redis, 'c', () => {}),
          () => (redis as unknown as { connect(): Promise<unknown> }).connect(),
        ];
        for (const call of calls) await assert.rejects(call, { code: 'ERR_CLIENT_CLOSED' });
      }
    });

    test('an element that has come when its caller gives up goes to the caller, not to nobody', async () => {
      const redis = lanes(() => kind.make([server.port]));
      await kind.connect(redis);
      const reaper = connect(server.port, '127.0.0.1');
      await once(reaper, 'connect');
      for (let i = 0; i < 3; i += 1) {
        const giveUp = new AbortController();
        const view = calling(redis, { signal: giveUp.signal });
        const popped = kind.call(view, 'BLPOP', 'taken', '20');
        await until(async () =>
          /blocked_clients:1\r/.test(await ask(server.port, 'INFO', 'clients')),
        );
        reaper.write('RPUSH taken element\r\n');
        // Nothing is read meanwhile: the element is in this process, and its reply is not.
        const from = performance.now();
        while (performance.now() - from < 60);
        giveUp.abort();
        assert.deepEqual(await popped, ['taken', 'element']);
      }
      const giveUp = new AbortController();
      const never = kind.call(calling(redis, { signal: giveUp.signal }), 'BLPOP', 'taken', '20');
      await until(() => lanesOf(redis).some((l) => l.lane.startsWith('blocking') && l.pending > 0));
      giveUp.abort();
      await assert.rejects(never, { code: 'ERR_CLIENT_ABORTED' });
      assert.equal(getEventListeners(giveUp.signal, 'abort').length, 0);
      reaper.destroy();
      await kind.close(redis);
    });

    test('an element on its way when its caller gives up is not lost, nor one that comes then', async () => {
      const redis = lanes(() => kind.make([server.port]));
      await kind.connect(redis);
      const blocked = async (n: number): Promise<boolean> =>
        (await ask(server.port, 'INFO', 'clients')).includes(`blocked_clients:${n}\r`);
      const reaper = connect(server.port, '127.0.0.1');
      await once(reaper, 'connect');
      for (let i = 0; i < 24; i += 1) {
        const giveUp = new AbortController();
        const view = calling(redis, { signal: giveUp.signal });
        const call = kind.call(view, 'BLPOP', 'underway', '20').catch((error: KitError) => error);
        await until(() => blocked(1));
        giveUp.abort();
        if (i % 2 === 0) reaper.write(`RPUSH underway ${i}\r\n`);
        else await ask(server.port, 'RPUSH', 'underway', `${i}`);
        const got = await call;
        if (!Array.isArray(got)) assert.equal((got as KitError).code, 'ERR_CLIENT_ABORTED');
        await until(() => blocked(0));
        const left = async (): Promise<unknown> => kind.call(redis, 'LPOP', 'underway');
        if (Array.isArray(got)) assert.equal(String(got[1]), `${i}`);
        else await until(async () => String(await left()) === `${i}`);
      }
      reaper.destroy();
      await kind.close(redis);
    });

    test('a read that is lost for good says why', async () => {
      const proxy = await startProxy(server.port);
      const redis = lanes(() => kind.make([proxy.port]), {
        retries: { budget: new RetryBudget(0, 0) },
      });
      await kind.connect(redis);
      await redis.set('k', 'v');
      proxy.mute();
      const read = redis.get('k');
      await until(() => proxy.asked > 0 && lanesOf(redis).some((lane) => lane.pending > 0));
      proxy.cut();
      await assert.rejects(read, (error: KitError) => {
        assert.equal(error.code, 'ERR_CLIENT_LOST');
        assert.match(error.message, /retries\.budget/);
        return error.cause instanceof Error;
      });
      proxy.resume();
      await kind.close(redis);
      await proxy.stop();
    });

    test('a transaction that is not sent yet when its connection goes is not made again in pieces', async () => {
      const proxy = await startProxy(server.port);
      const redis = lanes(() => kind.make([proxy.port]), { small: { min: 2 }, deadlines: false });
      await kind.connect(redis);
      await until(() => lanesOf(redis).every((lane) => lane.state === 'ready'));
      await redis.set('pieces', '0');
      let done = 0;
      const work = Array.from({ length: 8 }, async () => {
        for (let i = 0; i < 20; i += 1) {
          const replies = await kind
            .multi(redis, [
              ['incr', 'pieces'],
              ['incr', 'pieces'],
            ])
            .catch(() => []);
          if (replies.length === 0 || replies.some((reply) => reply instanceof Error)) continue;
          assert.equal(Number(replies[0]) + 1, Number(replies[1]));
          assert.equal(Number(replies[1]) % 2, 0, 'half a transaction ran');
          done += 1;
        }
      });
      let over = false;
      const all = Promise.all(work).finally(() => {
        over = true;
      });
      while (!over) {
        proxy.cut();
        await until(() => over || lanesOf(redis).some((lane) => lane.state === 'ready'));
        const before = done;
        await until(() => over || done > before);
      }
      await all;
      assert.equal(Number(await redis.get('pieces')) % 2, 0);
      await kind.close(redis);
      await proxy.stop();
    });

    if (kind.library === 'redis') {
      test('a client whose own connection was given up says that others serve, and leaves none of them', async () => {
        const port = await freePort();
        const redis = lanes(() => kind.make([port], { socket: noReconnect(port) }));
        const state = redis as unknown as { isOpen: boolean; isReady: boolean };
        assert.deepEqual([state.isOpen, state.isReady], [false, false]);
        await assert.rejects(kind.connect(redis), /ECONNREFUSED/);
        assert.equal(state.isReady, false);
        const late = await startServer([], port);
        await kind.connect(redis);
        assert.deepEqual([state.isOpen, state.isReady], [true, true]);
        await redis.set('given', 'up');
        await ask(port, 'CLIENT', 'KILL', 'TYPE', 'normal');
        await until(async () => (await redis.get('given').catch(() => null)) === 'up');
        assert.deepEqual([state.isOpen, state.isReady], [true, true]);
        await kind.close(redis);
        assert.deepEqual([state.isOpen, state.isReady], [false, false]);
        const alone = /^\$\d+\r\n# Clients\r\nconnected_clients:1\r/;
        await until(async () => alone.test(await ask(port, 'INFO', 'clients')));
        await late.stop();
      });
    }

    test('a process ends by itself after close with large reads on their way', async () => {
      const make =
        kind.library === 'redis'
          ? `import { createClient } from 'redis'; const make = () => createClient({ socket: { port: ${server.port} } });`
          : `import * as library from '${kind.library}'; const Redis = library.Redis ?? library.default.default; const make = () => new Redis({ port: ${server.port} });`;
      const code = `${make}
        import { lanes } from ${JSON.stringify(new URL('../index.ts', import.meta.url).href)};
        const redis = lanes(make, { deadlines: false });
        ${kind.library === 'redis' ? 'await redis.connect();' : ''}
        await redis.set('large', Buffer.alloc(2_000_000, 'x'));
        const reads = Array.from({ length: 6 }, () => redis.get('large'));
        await redis.quit();
        for (const read of reads) if ((await read).length !== 2_000_000) process.exit(2);`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
        cwd: import.meta.dirname,
        stdio: ['ignore', 'inherit', 'inherit'],
        timeout: 60_000,
        killSignal: 'SIGKILL',
      });
      const [status] = await once(child, 'exit');
      assert.equal(status, 0);
    });
  });
}

/** What ioredis' monitor() gives. */
interface Watching {
  on(event: 'monitor', listener: (time: string, args: string[]) => void): void;
  disconnect(): void;
}

function noReconnect(port: number): object {
  return { port, host: '127.0.0.1', reconnectStrategy: false };
}
