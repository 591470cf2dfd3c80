/**
 * OpenTelemetry metrics, by the semantic conventions for database clients. The kit depends on no
 * OpenTelemetry package: it is handed a meter and needs three methods of it.
 *
 * db.client.operation.duration (s), db.client.connection.count, db.client.connection.pending_requests
 * are the conventions' names; bytes, the parts of the time and calls in flight have no convention and are under
 * `cinnabar.client.`. A pool is one wrapped client; its lanes are counted by kind, because their numbers grow.
 */

import { type LaneView, lanesOf, poolOf } from '../lanes/lanes.ts';
import type { Pool } from '../lanes/pool.ts';
import type { CommandEvent } from './channels.ts';
import { commandChannel, lateChannel } from './channels.ts';
import { errorType, serverCode } from './tell.ts';

export type Attributes = Record<string, string | number>;

export interface InstrumentOptions {
  unit: string;
  description: string;
  advice?: { explicitBucketBoundaries: number[] };
}

export interface Observing {
  observe(value: number, attributes: Attributes): void;
}

export interface MeterLike {
  createHistogram(
    name: string,
    options: InstrumentOptions,
  ): { record(value: number, attributes: Attributes): void };
  createCounter(
    name: string,
    options: InstrumentOptions,
  ): { add(value: number, attributes: Attributes): void };
  createObservableUpDownCounter(
    name: string,
    options: InstrumentOptions,
  ): { addCallback(callback: (result: Observing) => void): void };
}

const SYSTEM = { 'db.system.name': 'redis' } as const;
/** As the conventions say; a library's own are for milliseconds, and all would be in the first. */
const SECONDS = { explicitBucketBoundaries: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10] };

/** Starts to feed the meter; answers how to stop. `clients`: whose connections are counted. */
export function recordMetrics(meter: MeterLike, clients: readonly object[] = []): () => void {
  const stopCalls = recordCalls(meter);
  const stopConnections = recordConnections(meter, clients);
  return () => {
    stopCalls();
    stopConnections();
  };
}

function recordCalls(meter: MeterLike): () => void {
  const duration = meter.createHistogram('db.client.operation.duration', {
    unit: 's',
    description: 'Time from the call to the complete reply, or to its failure',
    advice: SECONDS,
  });
  const parts = meter.createHistogram('cinnabar.client.time', {
    unit: 's',
    description: 'Part of it: queue, behind, server or wire',
    advice: SECONDS,
  });
  const bytes = meter.createCounter('cinnabar.client.bytes', {
    unit: 'By',
    description: 'Bytes of requests and replies',
  });
  const late = meter.createCounter('cinnabar.client.late', {
    unit: '{call}',
    description: 'Calls that missed their deadline, by cause',
  });
  const onCommand = (message: unknown): void => {
    const event = message as CommandEvent;
    const attributes = attributesOf(event);
    duration.record(event.totalMs / 1_000, { ...attributes, ...failureOf(event) });
    for (const [part, ms] of [
      ['queue', event.queueMs],
      ['behind', event.behindMs],
      ['server', event.serverMs],
      ['wire', event.wireMs],
    ] as const) {
      parts.record(ms / 1_000, { ...attributes, 'cinnabar.part': part });
    }
    // Of a call that was never sent nothing went out.
    const sent = event.behindMs + event.serverMs + event.bytesIn > 0;
    if (sent) bytes.add(event.bytesOut, { ...attributes, 'network.io.direction': 'transmit' });
    bytes.add(event.bytesIn, { ...attributes, 'network.io.direction': 'receive' });
  };
  const onLate = (message: unknown): void => {
    const { lateness, endpoint } = message as {
      lateness: { command: string; cause: string };
      endpoint: string;
    };
    late.add(1, {
      ...SYSTEM,
      'db.operation.name': lateness.command,
      'error.type': lateness.cause,
      ...serverOf(endpoint),
    });
  };
  commandChannel.subscribe(onCommand);
  lateChannel.subscribe(onLate);
  return () => {
    commandChannel.unsubscribe(onCommand);
    lateChannel.unsubscribe(onLate);
  };
}

function attributesOf({ command, endpoint }: CommandEvent): Attributes {
  return { ...SYSTEM, 'db.operation.name': command.toUpperCase(), ...serverOf(endpoint) };
}

function failureOf({ error }: CommandEvent): Attributes {
  if (error === undefined) return {};
  const code = serverCode(error);
  return {
    'error.type': errorType(error),
    ...(code === undefined ? {} : { 'db.response.status_code': code }),
  };
}

function sums(
  lanes: readonly LaneView[],
  keyOf: (lane: LaneView) => string,
  amountOf: (lane: LaneView) => number,
): Map<string, number> {
  const found = new Map<string, number>();
  for (const lane of lanes) {
    const key = keyOf(lane);
    found.set(key, (found.get(key) ?? 0) + amountOf(lane));
  }
  return found;
}

function recordConnections(meter: MeterLike, clients: readonly object[]): () => void {
  let stopped = false;
  const observed = (
    name: string,
    unit: string,
    description: string,
    look: (pool: Pool, lanes: readonly LaneView[], say: Observing['observe']) => void,
  ): void => {
    meter.createObservableUpDownCounter(name, { unit, description }).addCallback((result) => {
      if (stopped) return;
      for (const client of clients) {
        const pool = poolOf(client);
        if (pool === undefined) continue;
        const common = { ...SYSTEM, ...serverOf(pool.endpoint), [POOL]: nameOf(pool) };
        look(pool, lanesOf(client), (value, more) => result.observe(value, { ...common, ...more }));
      }
    });
  };
  observed(
    'db.client.connection.count',
    '{connection}',
    'Lanes by kind and state',
    (_pool, lanes, say) => {
      const counts = sums(
        lanes,
        (lane) => `${stateOf(lane)} ${laneKind(lane)}`,
        () => 1,
      );
      for (const [both, count] of counts) {
        const [state = '', kind = ''] = both.split(' ');
        say(count, { 'db.client.connection.state': state, 'cinnabar.lane.kind': kind });
      }
    },
  );
  observed(
    'db.client.connection.pending_requests',
    '{request}',
    'Calls that wait for a connection, or for their turn to be sent',
    (pool, _lanes, say) => say(pool.offline.size + pool.placement.waiting.length, {}),
  );
  observed(
    'cinnabar.client.in_flight',
    '{call}',
    'Calls on connections, by kind of lane',
    (_pool, lanes, say) => {
      for (const [kind, sum] of sums(lanes, laneKind, (lane) => lane.pending)) {
        say(sum, { 'cinnabar.lane.kind': kind });
      }
    },
  );
  return () => {
    stopped = true;
  };
}

/** The conventions' two for those that are there. */
function stateOf({ state, pending }: LaneView): string {
  return state === 'ready' ? (pending > 0 ? 'used' : 'idle') : state;
}

function laneKind({ lane }: LaneView): string {
  return lane.slice(0, lane.lastIndexOf('-'));
}

const POOL = 'db.client.connection.pool.name';
const names = new WeakMap<Pool, string>();
const named = new Map<string, number>();

/** Of two clients of one server the second is `host:port#2`: as one name their figures would be one. */
function nameOf(pool: Pool): string {
  const known = names.get(pool);
  if (known !== undefined) return known;
  const { endpoint } = pool;
  const count = (named.get(endpoint) ?? 0) + 1;
  named.set(endpoint, count);
  const name = count === 1 ? endpoint : `${endpoint}#${count}`;
  names.set(pool, name);
  return name;
}

/** A socket's path has no port; of a call that was never sent nothing may be known. */
function serverOf(endpoint: string): Attributes {
  if (endpoint === '') return {};
  const at = endpoint.lastIndexOf(':');
  if (at < 0) return { 'server.address': endpoint };
  return {
    'server.address': endpoint.slice(0, at),
    'server.port': Number(endpoint.slice(at + 1)),
  };
}
