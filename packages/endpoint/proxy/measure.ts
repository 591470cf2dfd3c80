/**
 * Where a command is counted: once, when its answer is for the client. What one command costs here is
 * a handful of additions to arrays, whether anybody looks or not; so there is nothing to switch on.
 *
 * Most are counted as their lane answers them, in runs. What is put together of several answers (a
 * split command, a transaction, a wait) is counted when its place in the client's order is filled.
 * Latency begins when the bytes came in: a command that waited for its shard shows it.
 */
import type { Command } from '../../resp/table/index.ts';
import type { Pending, Pieces } from './pending.ts';
import type { Session } from './session.ts';
import type { World } from './world.ts';

/** `count` plain answers of a lane. */
export function answered(world: World, pending: Pending, count: number): void {
  const { command, session } = pending;
  if (command === null || pending.sink !== null) return;
  const us = (world.now - pending.startedAt) * 1000;
  const meter = world.meter.of(command);
  meter.calls += count;
  meter.latency.add(us, count);
  session?.state.latency.add(us, count);
}

/** The size of one answer of a lane that was not counted with its run. */
export function sized(world: World, pending: Pending, bytes: number, failed: boolean): void {
  const { command } = pending;
  if (command === null || pending.sink !== null) return;
  const meter = world.meter.of(command);
  meter.replyBytes.add(bytes, 1);
  if (failed) meter.failed++;
}

/** A place in a client's order was filled. */
export function filled(world: World, place: Pending, { parts, bytes }: Pieces): void {
  const { command, session } = place;
  if (command === null) return;
  const us = (performance.now() - place.startedAt) * 1000;
  const meter = world.meter.of(command);
  meter.calls++;
  meter.latency.add(us, 1);
  meter.replyBytes.add(bytes, 1);
  if (parts[0]?.[0] === 45) meter.failed++;
  session?.state.latency.add(us, 1);
}

/** Answered at once, here, with so many bytes: nobody else counts it. */
export function answeredHere(
  session: Session,
  command: Command,
  bytes: number,
  failed: boolean,
): void {
  const us = (performance.now() - session.activeAt) * 1000;
  const meter = session.proxy.world.meter.of(command);
  meter.calls++;
  meter.latency.add(us, 1);
  meter.replyBytes.add(bytes, 1);
  if (failed) meter.failed++;
  session.state.latency.add(us, 1);
}
