/** Which version a process is started with, and what becomes of an upgrade when maintenance ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Upgrade, UpgradePhase } from '../store/records.ts';
import { afterMaintenance, engineToStart, isOlder, wantedEngine } from './upgrade.ts';

const OLD = 'valkey 8.1.1';
const NEW = 'valkey 9.1.2';
const at = (phase: UpgradePhase, until: number | null = null, keepMs = 100): Upgrade => ({
  phase,
  from: OLD,
  to: NEW,
  keepMs,
  until,
});

test('versions are compared by number, products not at all', () => {
  assert.equal(isOlder('valkey 9.1.2', 'valkey 9.1.10'), true);
  assert.equal(isOlder(NEW, OLD), false);
  assert.equal(isOlder(OLD, OLD), false);
  assert.equal(isOlder('redis 7.0.15', NEW), false);
});

test('what is wanted: the one in use, unless a database is on its way or may go back', () => {
  const later = 'valkey 9.2.0';
  assert.equal(wantedEngine(null, later), later);
  assert.equal(wantedEngine(at('upgrading'), later), NEW);
  assert.equal(wantedEngine(at('open', 5), later), NEW);
  assert.equal(wantedEngine(at('returning', 5), later), OLD);
  assert.equal(wantedEngine(at('returned'), later), OLD);
});

test('files of a newer version are loaded by that one; copies are made by the wanted one', () => {
  const newer = { engine: NEW };
  assert.equal(engineToStart(at('returning'), NEW, newer, true), NEW);
  assert.equal(engineToStart(at('returning'), NEW, newer, false), OLD);
  assert.equal(engineToStart(at('upgrading'), NEW, { engine: OLD }, true), NEW);
  assert.equal(engineToStart(null, OLD, newer, true), NEW);
});

test('the end of maintenance: complete, half-way or not begun', () => {
  const after = (upgrade: Upgrade | null, ...engines: string[]) =>
    afterMaintenance(upgrade, engines, 1_000);
  assert.equal(after(null, OLD, NEW), null);
  assert.deepEqual(after(at('upgrading'), NEW, NEW), at('open', 1_100));
  assert.equal(after(at('upgrading', null, 0), NEW, NEW), null);
  assert.deepEqual(after(at('upgrading'), OLD, NEW), at('upgrading'));
  assert.equal(after(at('upgrading'), OLD, OLD), null);
  // New processes while it is open do not prolong it.
  assert.deepEqual(after(at('open', 1_050), NEW, NEW), at('open', 1_050));
  assert.deepEqual(after(at('returning', 1_050), NEW, OLD), at('returning', 1_050));
  assert.deepEqual(after(at('returning', 1_050), NEW, NEW), at('open', 1_050));
  assert.deepEqual(after(at('returning', 1_050), OLD, OLD), at('returned'));
});
