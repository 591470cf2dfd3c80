/**
 * OpenTelemetry metrics, by the semantic conventions for database clients. The kit depends on no
 * OpenTelemetry package: it is handed a meter and needs three methods of it.
 *
 * db.client.operation.duration (s), db.client.connection.count, db.client.connection.pending_requests
 * are the conventions' names; bytes and the parts of the time have no convention and are under
 * `cinnabar.client.`.
 */

import { lanesOf } from '../lanes/lanes.ts';
import type { CommandEvent } from './channels.ts';
import { commandChannel, lateChannel } from './channels.ts';

export type Attributes = Record<string, string | number>;

export interface MeterLike {
  createHistogram(
    name: string,
    options: { unit: string; description: string },
  ): { record(value: number, attributes: Attributes): void };
  createCounter(
    name: string,
    options: { unit: string; description: string },
  ): { add(value: number, attributes: Attributes): void };
  createObservableGauge(
    name: string,
    options: { unit: string; description: string },
  ): {
    addCallback(
      callback: (result: { observe(value: number, attributes: Attributes): void }) => void,
    ): void;
  };
}

/** Starts to feed the meter; answers how to stop. `clients`: for the gauges of their lanes. */
export function recordMetrics(meter: MeterLike, clients: readonly object[] = []): () => void {
  const duration = meter.createHistogram('db.client.operation.duration', {
    unit: 's',
    description: 'Time from the call to the complete reply',
  });
  const parts = meter.createHistogram('cinnabar.client.time', {
    unit: 's',
    description: 'Part of it: queue, behind, server or wire',
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
    const attributes: Attributes = {
      'db.system.name': 'redis',
      'db.operation.name': event.command.toUpperCase(),
      ...serverOf(event.endpoint),
    };
    duration.record(event.totalMs / 1_000, attributes);
    for (const [part, ms] of [
      ['queue', event.queueMs],
      ['behind', event.behindMs],
      ['server', event.serverMs],
      ['wire', event.wireMs],
    ] as const) {
      parts.record(ms / 1_000, { ...attributes, 'cinnabar.part': part });
    }
    bytes.add(event.bytesOut, { ...attributes, 'network.io.direction': 'transmit' });
    bytes.add(event.bytesIn, { ...attributes, 'network.io.direction': 'receive' });
  };
  const onLate = (message: unknown): void => {
    const { lateness, endpoint } = message as {
      lateness: { command: string; cause: string };
      endpoint: string;
    };
    late.add(1, {
      'db.system.name': 'redis',
      'db.operation.name': lateness.command,
      'error.type': lateness.cause,
      ...serverOf(endpoint),
    });
  };
  let stopped = false;
  const count = meter.createObservableGauge('db.client.connection.count', {
    unit: '{connection}',
    description: 'Lanes by kind and state',
  });
  const pending = meter.createObservableGauge('db.client.connection.pending_requests', {
    unit: '{request}',
    description: 'Calls in flight a lane',
  });
  const look = (
    result: { observe(value: number, attributes: Attributes): void },
    value: (pendingCalls: number) => number,
  ): void => {
    if (stopped) return;
    for (const client of clients) {
      for (const lane of lanesOf(client)) {
        result.observe(value(lane.pending), {
          'db.client.connection.pool.name': lane.lane,
          'db.client.connection.state': lane.state,
        });
      }
    }
  };
  count.addCallback((result) => look(result, () => 1));
  pending.addCallback((result) => look(result, (calls) => calls));
  commandChannel.subscribe(onCommand);
  lateChannel.subscribe(onLate);
  return () => {
    stopped = true;
    commandChannel.unsubscribe(onCommand);
    lateChannel.unsubscribe(onLate);
  };
}

/** A socket's path has no port. */
function serverOf(endpoint: string): Attributes {
  const at = endpoint.lastIndexOf(':');
  if (at < 0) return { 'server.address': endpoint };
  return {
    'server.address': endpoint.slice(0, at),
    'server.port': Number(endpoint.slice(at + 1)),
  };
}
