/**
 * Events for whoever listens, by `node:diagnostics_channel`. Nothing is built while nobody does.
 *
 * - cinnabar:client:command  CommandEvent, once a command is answered or has failed
 * - cinnabar:client:late     { lateness, lane, endpoint }, when a deadline passed
 * - cinnabar:client:lane     LaneEvent: opened, ready, lost, ended, closed, with the reason
 * - cinnabar:client:retry    { command, key, attempt, delayMs, reason }
 * - cinnabar:client:guard    GuardFinding
 * - cinnabar:client:advice   Advice and the host that it is about, when a client is made that connects there
 */
import diagnosticsChannel from 'node:diagnostics_channel';

export const commandChannel = diagnosticsChannel.channel('cinnabar:client:command');
export const lateChannel = diagnosticsChannel.channel('cinnabar:client:late');
export const laneChannel = diagnosticsChannel.channel('cinnabar:client:lane');
export const retryChannel = diagnosticsChannel.channel('cinnabar:client:retry');
export const guardChannel = diagnosticsChannel.channel('cinnabar:client:guard');
export const adviceChannel = diagnosticsChannel.channel('cinnabar:client:advice');

export interface CommandEvent {
  readonly command: string;
  readonly key: string | undefined;
  readonly endpoint: string;
  readonly lane: string;
  readonly bytesOut: number;
  readonly bytesIn: number;
  readonly queueMs: number;
  readonly behindMs: number;
  readonly serverMs: number;
  readonly wireMs: number;
  readonly totalMs: number;
  /** What it failed with: the server's error, or the kit's. */
  readonly error: unknown;
}

export interface LaneEvent {
  readonly lane: string;
  readonly what: 'opened' | 'ready' | 'lost' | 'ended' | 'closed' | 'became-bulk' | 'became-small';
  readonly reason: string;
}
