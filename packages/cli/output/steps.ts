/**
 * Steps with ticks and times. On a terminal the running step has a spinner and its line is rewritten;
 * elsewhere each step is one line when it ends, so that logs and pipes stay readable, and one that
 * takes long says so far it has come every few seconds.
 */
import { FIRST_WORD_MS, MOST_SILENT_MS } from '../limits.ts';
import type { Output } from './output.ts';
import { duration, oneLine, truncate } from './text.ts';

export interface Step {
  readonly id: string;
  readonly title: string;
  readonly state: 'running' | 'done' | 'failed';
  readonly detail?: string | undefined;
  readonly ms?: number | undefined;
}

const FRAMES = ['\u280b', '\u2819', '\u2839', '\u2838', '\u283c', '\u2834', '\u2826', '\u2827'];
const FRAME_MS = 90;
const TITLE_WIDTH = 28;

export class Steps {
  readonly #output: Output;
  readonly #printed = new Set<string>();
  #running: Step | null = null;
  #since = 0;
  #frame = 0;
  #timer: NodeJS.Timeout | null = null;
  /** Where nothing is drawn: says what takes long. */
  #patience: NodeJS.Timeout | null = null;
  #drawn = false;

  constructor(output: Output) {
    this.#output = output;
  }

  show(step: Step): void {
    if (this.#output.json) return;
    if (step.state === 'running') {
      if (this.#running?.id !== step.id) this.#since = Date.now();
      this.#running = step;
      this.#spin();
      return;
    }
    // The same end may be reported twice (an operation record is read again and again).
    const key = `${step.id} ${step.state}`;
    if (this.#printed.has(key)) return;
    this.#printed.add(key);
    if (this.#running?.id === step.id) this.#running = null;
    this.#erase();
    this.#hush();
    const mark =
      step.state === 'done'
        ? this.#output.paint('green', '\u2713')
        : this.#output.paint('red', '\u2717');
    this.#output.err.write(`  ${mark} ${this.#text(step, step.ms)}\n`);
  }

  /** Ends the spinner; what was printed stays. */
  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#hush();
    this.#running = null;
    this.#erase();
  }

  #text(step: Step, ms: number | undefined): string {
    const detail = oneLine(step.detail ?? '');
    const time = ms === undefined ? '' : duration(ms);
    const width = Math.max(40, this.#output.err.columns || 80) - 4;
    const title = oneLine(step.title).padEnd(TITLE_WIDTH);
    const room = Math.max(8, width - title.length - 1 - (time === '' ? 0 : time.length + 2));
    // In a pipe nothing is cut.
    const middle = this.#output.err.isTTY === true ? truncate(detail, room) : detail;
    return time === ''
      ? `${title} ${middle}`.trimEnd()
      : `${title} ${middle.padEnd(room)}  ${time}`;
  }

  #spin(): void {
    if (!this.#output.animated) {
      if (this.#patience === null) this.#tellAfter(FIRST_WORD_MS);
      return;
    }
    this.#draw();
    this.#timer ??= setInterval(() => this.#draw(), FRAME_MS).unref();
  }

  #tellAfter(pauseMs: number): void {
    this.#patience = setTimeout(() => {
      const step = this.#running;
      if (step === null) return;
      this.#output.err.write(`  \u2026 ${this.#text(step, Date.now() - this.#since)}\n`);
      this.#tellAfter(Math.min(2 * pauseMs, MOST_SILENT_MS));
    }, pauseMs).unref();
  }

  #hush(): void {
    if (this.#patience !== null) clearTimeout(this.#patience);
    this.#patience = null;
  }

  #draw(): void {
    const step = this.#running;
    if (step === null) return;
    this.#frame = (this.#frame + 1) % FRAMES.length;
    const mark = this.#output.paint('dim', FRAMES[this.#frame] ?? '');
    this.#erase();
    this.#output.err.write(`  ${mark} ${this.#text(step, Date.now() - this.#since)}`);
    this.#drawn = true;
  }

  #erase(): void {
    if (this.#drawn) this.#output.err.write('\r\u001b[2K');
    this.#drawn = false;
  }
}
