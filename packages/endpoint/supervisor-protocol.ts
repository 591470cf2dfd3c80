/**
 * Between the control process and the endpoint supervisor: one unix socket (0600), frames as on a
 * worker's socket. Kept apart from `control-protocol.ts` because it changes for other reasons: that
 * one is about data, this one is about processes. Both must stay readable by the build before.
 */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Counters, Snapshot } from './control-protocol.ts';

// Both sides speak through the same frames and add up by the same rule.
export { mergeCounters, mergeLarge, withoutGauges } from './counters.ts';
export { FrameConnection } from './frame-connection.ts';
export { encodeFrame, type Message } from './frames.ts';
export { neighbourSocket } from './neighbours.ts';

// Runs unbuilt (.ts) and compiled (.js): the neighbours have this file's extension.
const extension = extname(import.meta.url);
/** What to start: `node <SUPERVISOR_PROGRAM> <run folder>`; the worker's goes into the plan. */
export const SUPERVISOR_PROGRAM = fileURLToPath(
  new URL(`./supervisor${extension}`, import.meta.url),
);
export const WORKER_PROGRAM = fileURLToPath(new URL(`./worker${extension}`, import.meta.url));

export const SUPERVISOR_PROTOCOL = 1;
/** Names in the run folder. */
export const SUPERVISOR_SOCKET = 'endpoint.sock';
/** A worker's socket is `w<slot>-<pid>.sock`; this finds those that a dead supervisor left. */
export const WORKER_SOCKET = /^w\d+-(\d+)\.sock$/;

export interface SupervisorHello {
  readonly type: 'hello';
  readonly protocol: number;
  readonly build: string;
  readonly pid: number;
}

/** Pids are used again: with the time of its start (field 22 of /proc/<pid>/stat) it is one process. */
export interface ProcessName {
  readonly pid: number;
  readonly startTicks: number;
}

/** How the dead-man watchdog logs in to one engine; `process`: it may be one that gives way. */
export interface LeaseTarget {
  readonly socket: string;
  readonly user: string;
  readonly password: string;
  readonly process?: ProcessName;
}

export interface WorkerPlan {
  readonly count: number;
  /** Node's own path and the worker's file: a new control build starts new workers of its own. */
  readonly runtime: string;
  readonly program: string;
  readonly build: string;
}

export type SupervisorRequest =
  /**
   * Opens and closes listening sockets, starts missing workers and keeps the snapshot (in memory
   * only) for workers that start later. Refused with `stale-epoch` when older than the kept one.
   */
  | {
      readonly type: 'publish';
      readonly id: number;
      readonly plan: WorkerPlan;
      readonly snapshot: Snapshot;
      /** What a supervisor that died had kept; taken by one that has nothing yet. */
      readonly base?: Counters | null;
    }
  /** `end`: the control process leaves in order; the watchdog acts at once. */
  | {
      readonly type: 'lease';
      readonly id: number;
      readonly targets: readonly LeaseTarget[];
      readonly end: boolean;
    }
  /** Successors first, then drain: one worker, or all of them one after the other (null). */
  | {
      readonly type: 'replace';
      readonly id: number;
      readonly pid: number | null;
      readonly deadlineMs: number;
    }
  | { readonly type: 'stop'; readonly id: number; readonly deadlineMs: number };

export type SupervisorAnswer =
  | { readonly type: 'done'; readonly id: number; readonly result: unknown }
  | {
      readonly type: 'refused';
      readonly id: number;
      readonly code: string;
      readonly message: string;
    };

export interface ListenFailure {
  readonly address: string;
  readonly reason: string;
}

export interface PublishResult {
  readonly failed: readonly ListenFailure[];
}

export interface LeaseResult {
  /** The watchdog acted since the last renewal: the engines may vote, control must take that back. */
  readonly expired: boolean;
}

/** - starting: not yet ready. - serving. - draining: replaced, finishing. */
export interface WorkerInfo {
  readonly slot: number;
  readonly pid: number;
  readonly socket: string;
  readonly state: 'starting' | 'serving' | 'draining';
}

/** Sent after hello and on every change. */
export interface WorkersEvent {
  readonly type: 'workers';
  readonly workers: readonly WorkerInfo[];
  /** What workers that are gone had counted: a killed one at least what anybody was told of it. */
  readonly retired: Counters | null;
}

export interface WorkerDiedEvent {
  readonly type: 'worker-died';
  readonly pid: number;
  readonly detail: string;
}

export type FromSupervisor = SupervisorHello | SupervisorAnswer | WorkersEvent | WorkerDiedEvent;
