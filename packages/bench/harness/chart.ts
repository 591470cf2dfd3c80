/** A line chart as an SVG file: no library, no script, readable in both colour schemes. */
import type { Chart } from './result.ts';

const WIDTH = 720;
const HEIGHT = 360;
const LEFT = 70;
const RIGHT = 150;
const TOP = 40;
const BOTTOM = 50;
const COLOURS = ['#0b7285', '#c92a2a', '#5f3dc4', '#2b8a3e', '#e67700', '#495057'];
const TICKS = 5;

export function drawChart(chart: Chart): string {
  const points = chart.series.flatMap((s) => s.points);
  const xs = points.map((p) => p[0]);
  const scaleY = chart.logY === true ? (y: number) => Math.log10(Math.max(y, 1e-6)) : identity;
  const ys = points.map((p) => scaleY(p[1]));
  const [x0, x1] = range(xs);
  const [y0, y1] = chart.logY === true ? range(ys) : [0, Math.max(...ys, 1e-9)];
  const px = (x: number) => LEFT + ((x - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT);
  const py = (y: number) => HEIGHT - BOTTOM - ((y - y0) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM);
  const out: string[] = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(LEFT, 20, chart.title, 'font-size="15" font-weight="bold"'),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, chart.xLabel, 'text-anchor="middle"'),
    text(14, TOP - 10, chart.yLabel),
  ];
  for (let i = 0; i <= TICKS; i += 1) {
    const y = y0 + ((y1 - y0) * i) / TICKS;
    const x = x0 + ((x1 - x0) * i) / TICKS;
    const shownY = chart.logY === true ? 10 ** y : y;
    out.push(
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${fix(py(y))}" y2="${fix(py(y))}" stroke="#dee2e6"/>`,
      text(LEFT - 6, py(y) + 4, short(shownY), 'text-anchor="end"'),
      text(px(x), HEIGHT - BOTTOM + 18, short(x), 'text-anchor="middle"'),
    );
  }
  chart.series.forEach((series, i) => {
    const colour = COLOURS[i % COLOURS.length] ?? '#000';
    const path = series.points.map((p) => `${fix(px(p[0]))},${fix(py(scaleY(p[1])))}`).join(' ');
    out.push(
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      text(WIDTH - RIGHT + 12, TOP + 18 * i, series.name, `fill="${colour}"`),
    );
  });
  out.push('</svg>');
  return out.join('\n') + '\n';
}

const identity = (y: number): number => y;

function range(values: readonly number[]): [number, number] {
  const low = Math.min(...values);
  const high = Math.max(...values);
  return high > low ? [low, high] : [low - 1, low + 1];
}

function text(x: number, y: number, content: string, attributes = ''): string {
  const safe = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${fix(x)}" y="${fix(y)}" ${attributes}>${safe}</text>`;
}

function fix(value: number): string {
  return value.toFixed(1);
}

function short(value: number): string {
  if (Math.abs(value) >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (Math.abs(value) >= 1e3) return `${Number((value / 1e3).toPrecision(3))}k`;
  return String(Number(value.toPrecision(3)));
}
