/**
 * Draws docs/first-start.svg from a real first start: `node scripts/picture.ts`. The key in the
 * picture is blotted out, and paths of the temporary folder are shown as a user would see them.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const LINE_HEIGHT = 20;
const CHAR_WIDTH = 8.4;
const MARGIN = 24;
const COLUMNS = 84;
const GREEN = '#7ee787';
const WHITE = '#e6edf3';
const GREY = '#8b949e';

const home = mkdtempSync(join(tmpdir(), 'cinnabar-picture-'));
const root = join(import.meta.dirname, '..');
const child = spawn(
  process.execPath,
  [join(root, 'bin', 'cinnabar'), 'up', '--quickstart', '--api-port', '0', '--https-port', '0'],
  {
    // As `npm start` would: advice names npx.
    env: { ...process.env, CINNABAR_HOME: home, NO_COLOR: '1', npm_lifecycle_event: 'start' },
    stdio: ['ignore', 'pipe', 'pipe'],
  },
);
let text = '';
for (const stream of [child.stdout, child.stderr]) {
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    if (text.includes('Ctrl-C stops it')) child.kill('SIGINT');
  });
}
child.on('exit', () => {
  rmSync(home, { recursive: true, force: true });
  const shown = text
    .slice(0, text.indexOf('Ctrl-C stops it'))
    .replaceAll(home, '~/.local/share/cinnabar')
    .replace(/default:[^@]+@/, 'default:••••••••••••••••@')
    .replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:8470')
    .trimEnd()
    .split('\n');
  writeFileSync(
    join(root, 'docs', 'first-start.svg'),
    picture(['$ npm ci && npm start', '', ...shown]),
  );
});

function picture(lines: readonly string[]): string {
  const width = Math.ceil(COLUMNS * CHAR_WIDTH + 2 * MARGIN);
  const height = lines.length * LINE_HEIGHT + 2 * MARGIN;
  const rows = lines.map((line, i) => {
    const y = MARGIN + (i + 0.8) * LINE_HEIGHT;
    const tick = line.trimStart().startsWith('✓');
    const colour = line.startsWith('$') ? GREY : WHITE;
    const body = tick
      ? `<tspan fill="${GREEN}">  ✓</tspan>${escapeXml(line.slice(3))}`
      : escapeXml(line);
    return `<text x="${MARGIN}" y="${y}" fill="${colour}" xml:space="preserve">${body}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14"><title>The first start in a terminal</title><rect width="100%" height="100%" rx="8" fill="#0d1117"/>${rows.join('')}</svg>\n`;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
