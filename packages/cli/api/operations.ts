/** Waiting for an operation, with its steps shown as the control process records them. */
import type { OperationRecord } from '../../control/store/records.ts';
import type { Context } from '../context.ts';
import { CliError } from '../errors.ts';
import { BACK_SOON_MS, POLL_MS } from '../limits.ts';
import type { Output } from '../output/output.ts';
import { Steps } from '../output/steps.ts';
import type { ApiClient } from './client.ts';
import { CONTROL_STOPPED } from './stopped.ts';

export interface WaitOptions {
  readonly timeoutMs: number;
  /** False: `--no-wait`; the operation is printed: how to follow it, or with `--json` its record. */
  readonly wait: boolean;
  /** Ends the wait: whoever wanted it is leaving. */
  readonly signal?: AbortSignal;
}

const ENDED = new Set(['Succeeded', 'Failed', 'Canceled']);
const UNDER_WAY = new Set(['Creating', 'Updating']);

/**
 * Resolves when it succeeded; otherwise throws what the operation says. Null id: nothing to wait for. Null
 * also when it was not waited for; then nothing more belongs on standard output.
 */
export async function waitFor(
  api: ApiClient,
  output: Output,
  id: string | null,
  options: WaitOptions,
): Promise<OperationRecord | null> {
  if (!options.wait && output.json) {
    output.data(id === null ? null : await api.operation(id));
    return null;
  }
  if (id === null) return null;
  if (!options.wait) {
    output.line(output.typed(`Accepted. Follow it: cinnabar operations show ${id}`));
    return null;
  }
  const steps = new Steps(output);
  const deadline = performance.now() + options.timeoutMs;
  // Where nobody else minds Ctrl-C, it ends the wait, and not the operation: that has to be said.
  const left = new AbortController();
  const leave = (): void => left.abort(interrupted(`Follow it: cinnabar operations show ${id}`));
  const signal = options.signal ?? left.signal;
  if (signal === left.signal) process.once('SIGINT', leave);
  try {
    for (;;) {
      const record = await patiently(api, (now) => now.operation(id), deadline, signal);
      showSteps(steps, record);
      if (ENDED.has(record.status)) return finished(record);
      if (performance.now() > deadline) throw late(record, options.timeoutMs);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  } finally {
    process.off('SIGINT', leave);
    steps.end();
  }
}

/** Resolves when nothing is done to a cluster any more, however it ended. */
export async function settled(api: ApiClient, name: string, options: WaitOptions): Promise<void> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    const { properties } = await patiently(
      api,
      (now) => now.cluster(name),
      deadline,
      options.signal,
    );
    if (!UNDER_WAY.has(properties.provisioningState)) return;
    if (performance.now() > deadline) {
      throw new CliError(
        'timeout',
        'still-running',
        `'${name}' is still ${properties.provisioningState} after ${options.timeoutMs / 1000} s.`,
        'Follow it: cinnabar operations',
      );
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/**
 * The control process may be replaced while an operation runs; it resumes, and so does the wait. After an
 * orderly stop it is not.
 */
async function patiently<T>(
  api: ApiClient,
  ask: (now: ApiClient) => Promise<T>,
  deadline: number,
  signal?: AbortSignal,
): Promise<T> {
  for (let now = api; ; ) {
    if (signal?.aborted === true) {
      throw signal.reason instanceof CliError ? signal.reason : interrupted();
    }
    try {
      return await ask(now);
    } catch (error) {
      if (!isAway(error) || performance.now() > deadline) throw error;
      now.refuseStopped();
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      now = here(now);
    }
  }
}

function isAway(error: unknown): boolean {
  if (!(error instanceof CliError)) return false;
  const { exit, code } = error;
  return exit === 'notRunning' || exit === 'underWay' || code === CONTROL_STOPPED;
}

/**
 * The API for a command that changes something: a control process that is being started again, which takes a
 * second or two, is waited for. A write is sent once, so this is asked before it.
 */
export async function whenBack(context: Pick<Context, 'api'>): Promise<ApiClient> {
  const deadline = performance.now() + BACK_SOON_MS;
  for (;;) {
    try {
      const api = context.api();
      await patiently(api, (now) => now.operations(1), deadline);
      return api.again();
    } catch (error) {
      // Without its file and without a process nobody is there to come back.
      const starts = error instanceof CliError && error.exit === 'underWay';
      if (!starts || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}

/** Where it is now; while none is there, where it was. */
function here(api: ApiClient): ApiClient {
  try {
    return api.again();
  } catch {
    return api;
  }
}

function interrupted(remedy = 'What goes on: cinnabar operations'): CliError {
  const message = 'Interrupted before it was done: it goes on.';
  return new CliError('interrupted', 'interrupted', message, remedy);
}

/** Of what is not done only the first: on the one line that is rewritten others would hide how far it has come. */
function showSteps(steps: Steps, record: OperationRecord): void {
  const current = record.steps.find((step) => step.state === 'running');
  for (const step of record.steps) {
    if (step.state === 'waiting' || (step.state === 'running' && step !== current)) continue;
    steps.show({
      id: `${record.id}/${step.name}`,
      title: sentence(step.name),
      state: step.state,
      detail: step.detail,
      ms: tookMs(step),
    });
  }
}

function tookMs({ startedAt, endedAt }: OperationRecord['steps'][number]): number | undefined {
  return endedAt === null || startedAt === null ? undefined : endedAt - startedAt;
}

/** 'start-engines' -> 'Start engines'. What has blanks is a sentence already: dates in it keep their dashes. */
export function sentence(name: string): string {
  const words = name.includes(' ') ? name : name.replaceAll('-', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function finished(record: OperationRecord): OperationRecord {
  if (record.status === 'Succeeded') return record;
  throw new CliError(
    'operationFailed',
    record.error?.code ?? record.status,
    record.error?.message ?? `The operation ended as ${record.status}.`,
    `What it did: cinnabar operations show ${record.id}`,
  );
}

function late(record: OperationRecord, timeoutMs: number): CliError {
  const running = record.steps.find((step) => step.state === 'running');
  return new CliError(
    'timeout',
    'still-running',
    `Not done after ${timeoutMs / 1000} s (${running === undefined ? record.status : sentence(running.name)}). It goes on.`,
    `Follow it: cinnabar operations show ${record.id}`,
  );
}
