/** What is refused while engines of several versions, or products, have to understand the same data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KnownEngine } from '../../engine/contract.ts';
import type { InstanceRecord, Upgrade } from '../store/records.ts';
import { newerView } from './newer.ts';

const key = { type: 'key' } as const;
const option = (token: string) => ({ type: 'pure-token', token, optional: true }) as const;
const engine = (label: string, commands: string[], ...tokens: string[]): KnownEngine => ({
  label,
  commands: new Set(['get', ...commands]),
  arguments: () => ({ get: [key, ...tokens.map(option)] }),
});
const OLD = engine('valkey 8.1.1', [], 'NX');
const NEW = engine('valkey 9.1.2', ['hsetex', 'cluster|syncslots'], 'NX', 'IFEQ');
const OTHER = engine('redis 7.0.15', ['json.get'], 'NX');
const node = {
  known: (label: string) => [OLD, NEW, OTHER].find((each) => each.label === label) ?? null,
};

function view(upgrade: Upgrade | null, ...labels: string[]) {
  const running = labels.map((label) => ({ phase: 'running', engine: label }) as InstanceRecord);
  return newerView({ upgrade }, running, node);
}

test('nothing, unless two versions are in play whose languages differ', () => {
  assert.equal(view(null, NEW.label, NEW.label), undefined);
  assert.equal(view(null, NEW.label, 'valkey 9.9.9'), undefined, 'of which nothing is known');
  const returned = { phase: 'returned', from: OLD.label, to: NEW.label, keepMs: 1, until: null };
  assert.equal(view(returned as Upgrade, OLD.label), undefined);
});

test('side by side, and while the way back is open: what the older one does not know', () => {
  const mixed = view(null, NEW.label, OLD.label);
  assert.deepEqual(mixed?.unknown, [
    {
      engine: OLD.label,
      commands: ['hsetex'],
      options: [{ command: 'get', tokens: ['IFEQ'], known: [key, option('NX')] }],
    },
  ]);
  assert.equal(mixed.because, 'valkey 8.1.1 and valkey 9.1.2 run side by side');
  const open: Upgrade = { phase: 'open', from: OLD.label, to: NEW.label, keepMs: 1, until: 0 };
  const kept = view(open, NEW.label);
  assert.deepEqual(kept?.unknown, mixed.unknown);
  assert.match(kept.because, /^the way back to valkey 8\.1\.1 is open until 1970-01-01T00:00:00/);
});

test('of two products each may know what the other does not', () => {
  const unknown = view(null, OTHER.label, NEW.label)?.unknown ?? [];
  assert.deepEqual(
    unknown.map((each) => [each.engine, each.commands, each.options.length]),
    [
      [OTHER.label, ['hsetex'], 1],
      [NEW.label, ['json.get'], 0],
    ],
  );
});
