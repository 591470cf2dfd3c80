/**
 * The one place that writes. Results go to standard output, everything about how it goes (steps,
 * warnings, errors) to standard error, so that a pipe carries results only.
 */
import { CliError } from '../errors.ts';
import type { Column } from './table.ts';
import { pairs, table } from './table.ts';
import { oneLine, printable, printableJson } from './text.ts';
import { typed } from './typed.ts';

export interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export type Colour = 'red' | 'green' | 'yellow' | 'dim' | 'bold';
const CODES: Record<Colour, readonly [number, number]> = {
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  dim: [2, 22],
  bold: [1, 22],
};

const INTERNAL = 'internal-error';
/** Of an operation that was ended because somebody asked for it: nothing went wrong. */
const CANCELED = 'Canceled';

export class Output {
  readonly json: boolean;
  readonly out: Sink;
  readonly err: Sink;
  readonly #noColour: boolean;
  readonly #env: NodeJS.ProcessEnv;

  constructor(out: Sink, err: Sink, env: NodeJS.ProcessEnv, json: boolean) {
    this.out = out;
    this.err = err;
    this.json = json;
    this.#env = env;
    // no-color.org: present and not empty, whatever it says.
    this.#noColour = (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb';
  }

  paint(colour: Colour, text: string, sink: Sink = this.err): string {
    if (this.#noColour || sink.isTTY !== true) return text;
    const [on, off] = CODES[colour];
    return `\u001b[${on}m${text}\u001b[${off}m`;
  }

  /** Spinner and rewritten lines only where a person looks. */
  get animated(): boolean {
    return this.err.isTTY === true && !this.json && !this.#noColour;
  }

  line(text = ''): void {
    this.out.write(`${text}\n`);
  }

  /** Text with advice in it, with our command as it has to be typed here. What goes to standard error has it already. */
  typed(text: string): string {
    return typed(text, this.#env);
  }

  note(text: string): void {
    this.err.write(`${printable(this.typed(text))}\n`);
  }

  warn(text: string): void {
    this.err.write(`${this.paint('yellow', 'warning:')} ${oneLine(this.typed(text))}\n`);
  }

  /** `--json`: the data as they are; else the table, or `empty` when there is nothing to show. */
  rows<Row>(
    rows: readonly Row[],
    columns: readonly Column<Row>[],
    empty: string,
    data: unknown = rows,
  ): void {
    if (this.json) {
      this.data(data);
      return;
    }
    if (rows.length === 0) {
      this.note(empty);
      return;
    }
    const width = this.out.isTTY === true ? Math.max(40, this.out.columns || 80) : null;
    const [head = '', ...body] = table(columns, rows, width);
    this.line(this.paint('bold', head, this.out));
    for (const text of body) this.line(text);
  }

  pairs(items: readonly (readonly [string, string])[]): void {
    for (const text of pairs(items)) this.line(text);
  }

  data(value: unknown): void {
    this.line(printableJson(value, 2));
  }

  error(error: CliError): void {
    if (this.json) {
      const { code } = error;
      const message = this.typed(error.message);
      const remedy = this.typed(error.remedy);
      this.err.write(`${printableJson({ error: { code, message, remedy } })}\n`);
      return;
    }
    // The stack of a fault of our own has many lines.
    const shown = error.code === INTERNAL ? printable : oneLine;
    this.err.write(
      `${error.code === CANCELED ? '' : `${this.paint('red', 'error:')} `}${shown(this.typed(error.message))} (${error.code})\n` +
        (error.remedy === '' ? '' : `  ${printable(this.typed(error.remedy))}\n`),
    );
  }

  unexpected(error: unknown): CliError {
    return error instanceof CliError
      ? error
      : new CliError(
          'failed',
          INTERNAL,
          error instanceof Error ? (error.stack ?? error.message) : String(error),
          'This is a fault of Cinnabar: please report it with the lines above (see CONTRIBUTING.md).',
        );
  }
}
