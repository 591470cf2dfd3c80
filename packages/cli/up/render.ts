/** What the parent's reports look like to a person. */
import type { FromControl } from '../../control/boot-protocol.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { LONG_STOP_MS } from '../limits.ts';
import type { Output } from '../output/output.ts';
import { Steps } from '../output/steps.ts';
import { duration } from '../output/text.ts';
import type { ParentReport } from './parent.ts';

const HOW_TO_STOP =
  'What was not stopped goes on without Cinnabar: "cinnabar up" takes it over, "cinnabar down" tries to save it again, "cinnabar down --now" ends it without its data.';

/** Whether a stop may take so long that somebody would wonder. */
export function isLong(withinMs: number | undefined): withinMs is number {
  return withinMs !== undefined && withinMs > LONG_STOP_MS;
}

export function mayTake(withinMs: number): string {
  return `The data is written first: on a slow disk that takes up to ${duration(withinMs)}.`;
}

export interface Rendered extends ParentReport {
  /** The end of `up`, in words. */
  ended(code: number): void;
}

/**
 * `onReady` is called at the first `ready` only: a control process that came back needs no welcome.
 * `onStop`: when a stop begins, or without one at the end.
 */
export function render(
  output: Output,
  onReady: (ready: Extract<FromControl, { type: 'ready' }>) => void,
  onStop: (withinMs?: number) => void = () => undefined,
): Rendered {
  const steps = new Steps(output);
  let welcomed = false;
  return {
    message(message) {
      switch (message.type) {
        case 'step':
          // A restart shows nothing: the parent said that it crashed, the log has the rest.
          if (!welcomed || message.state === 'failed' || message.id.startsWith('stop')) {
            steps.show(message);
          }
          break;
        case 'ready':
          steps.end();
          if (welcomed) output.note('The control process is back.');
          else {
            welcomed = true;
            onReady(message);
          }
          break;
        case 'fatal':
          steps.end();
          output.error(new CliError('cannotStart', message.code, message.message, message.remedy));
          break;
        case 'stopping':
          onStop(message.withinMs);
          steps.end();
          output.note(
            process.stdin.isTTY === true
              ? 'Stopping in order. Ctrl-C once more (after 2 s) stops at once.'
              : 'Stopping in order.',
          );
          if (isLong(message.withinMs)) output.note(mayTake(message.withinMs));
          break;
        case 'stopped':
          steps.end();
          for (const note of message.notes) output.warn(note);
          for (const held of message.held) output.warn(held);
          if (message.held.length > 0) output.note(HOW_TO_STOP);
          break;
        case 'stop-refused':
          steps.end();
          for (const held of message.held) output.warn(held);
          output.note('The stop was refused: it would have lost data. Caches go on.');
          break;
      }
    },
    crashed(code, pauseMs, logFile) {
      steps.end();
      const how =
        code === 'not-started'
          ? 'could not be started'
          : code === null
            ? 'was killed'
            : `ended with code ${code}`;
      output.warn(
        `The control process ${how}; caches go on. Starting it again in ${duration(pauseMs)}. Log: ${logFile}`,
      );
    },
    gaveUp(logFile) {
      steps.end();
      output.error(
        new CliError(
          'cannotStart',
          'control-keeps-crashing',
          'The control process crashed at each of its starts.',
          `The reason is at the end of the log: tail ${logFile}`,
        ),
      );
    },
    hung(pid) {
      steps.end();
      output.warn(`The control process ${pid} was stopped and does not answer: it is ended.`);
    },
    unclean() {
      steps.end();
      output.warn('The control process ended before everything was stopped. Run: cinnabar down');
    },
    ended(code) {
      onStop();
      steps.end();
      if (code === EXIT.ok) output.note('Stopped.');
    },
  };
}
