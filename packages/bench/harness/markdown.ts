/**
 * The report that people read: one section a benchmark in `docs/benchmarks.md`, between two
 * markers, so that a new run replaces the old section and leaves the rest of the page alone.
 */
import type { BenchReport, Chart, MetricResult } from './result.ts';

const TITLE = `# Benchmarks

Each section is written by the command it names. All sides of a line were measured in the same run,
interleaved; figures are medians. Only ratios within one run mean anything: engine, endpoint, rivals
and load generator share this machine's cores. Goals stand in \`packages/bench/goals.ts\`.
`;

export function section(report: BenchReport, about: string, charts: readonly Chart[]): string {
  const rivals = [...new Set(report.results.flatMap((r) => Object.keys(r.peers)))];
  const head = ['metric', 'unit', 'ours', ...rivals, 'goal', 'met'];
  const rows = report.results.map((r) => [
    `\`${r.metric}\``,
    r.unit,
    r.ours === null ? 'not measured' : shown(r.ours),
    ...rivals.map((name) => shown(r.peers[name])),
    r.goal ?? '',
    verdict(r),
  ]);
  const notes = report.results.flatMap((r) =>
    r.void !== undefined
      ? [`- \`${r.metric}\`: void: ${r.void}`]
      : r.note !== undefined
        ? [`- \`${r.metric}\`: ${r.note}`]
        : [],
  );
  const rounds = Math.max(0, ...report.results.map((r) => r.samples['ours']?.length ?? 0));
  return [
    `## ${report.name}`,
    '',
    about,
    '',
    `\`npm run -s bench -- ${report.name}${report.quick ? ' --quick' : ''} --json\`, ${report.at}, ` +
      `${report.host.cores} cores, Node ${report.host.node}, ${report.host.engine}; ${rounds} rounds.`,
    '',
    row(head),
    row(head.map(() => '---')),
    ...rows.map(row),
    ...(notes.length > 0 ? ['', ...notes] : []),
    ...charts.flatMap((chart) => ['', `![${chart.title}](${chart.file})`]),
    '',
  ].join('\n');
}

/** The page with this section put in, or put in place of its predecessor. */
export function place(page: string, name: string, body: string): string {
  const begin = `<!-- bench:${name} -->`;
  const end = `<!-- /bench:${name} -->`;
  const block = `${begin}\n${body.trimEnd()}\n${end}`;
  const text = page === '' ? TITLE : page;
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from >= 0 && to > from) return text.slice(0, from) + block + text.slice(to + end.length);
  return `${text.trimEnd()}\n\n${block}\n`;
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function shown(value: number | undefined): string {
  return value === undefined ? '' : value.toLocaleString('en-US', { maximumFractionDigits: 3 });
}

function verdict(result: MetricResult): string {
  if (result.void !== undefined) return 'void';
  if (result.met === null) return '';
  return result.met ? 'yes' : '**no**';
}
