/**
 * Tables that fit their terminal. A column may say that it can shrink; the widest of those gives way
 * first. In a pipe nothing is cut, because the reader is a program.
 */
import { oneLine, truncate } from './text.ts';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly align?: 'right';
  /** The narrowest it may become; absent: never cut. */
  readonly shrinkTo?: number;
}

const GAP = 2;

export function table<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number | null,
): string[] {
  const cells = rows.map((row) => columns.map((column) => oneLine(column.value(row))));
  const widths = columns.map((column, i) =>
    Math.max(column.title.length, ...cells.map((line) => line[i]?.length ?? 0)),
  );
  if (width !== null) shrink(columns, widths, width);
  const line = (values: readonly string[]): string =>
    values
      .map((value, i) => {
        const space = widths[i] ?? value.length;
        const cut = truncate(value, space);
        return columns[i]?.align === 'right' ? cut.padStart(space) : cut.padEnd(space);
      })
      .join(' '.repeat(GAP))
      .trimEnd();
  return [line(columns.map((column) => column.title)), ...cells.map(line)];
}

function shrink<Row>(columns: readonly Column<Row>[], widths: number[], width: number): void {
  const total = (): number => widths.reduce((sum, w) => sum + w, 0) + GAP * (widths.length - 1);
  while (total() > width) {
    let widest = -1;
    for (const [i, column] of columns.entries()) {
      const space = widths[i] ?? 0;
      if (column.shrinkTo === undefined || space <= column.shrinkTo) continue;
      if (widest < 0 || space > (widths[widest] ?? 0)) widest = i;
    }
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}

/** Name and value pairs under each other, as `show` prints them. */
export function pairs(items: readonly (readonly [string, string])[]): string[] {
  const space = Math.max(0, ...items.map(([name]) => name.length));
  return items.map(([name, value]) => `${name.padEnd(space)}  ${oneLine(value)}`.trimEnd());
}
