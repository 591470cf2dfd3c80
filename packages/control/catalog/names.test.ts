import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ControlError } from '../errors.ts';
import { clusterNameProblem, databaseNameProblem, groupNameProblem, requireName } from './names.ts';

describe('names', () => {
  it('of caches follow ARM’s pattern', () => {
    for (const name of ['a', 'A1', 'my-cache', '0-0', 'x'.repeat(60), 'quickstart', 'accessible']) {
      assert.equal(clusterNameProblem(name), null, name);
    }
    const bad = ['', '-a', 'a-', 'a--b', 'a_b', 'a.b', 'a b', 'ä', '../x', 'x'.repeat(61), 'a\n'];
    for (const name of bad)
      assert.equal(clusterNameProblem(name)?.code, 'InvalidResourceName', name);
    const arm = /^(?=.{1,60}$)[A-Za-z0-9]+(-[A-Za-z0-9]+)*$/;
    fc.assert(
      fc.property(fc.stringMatching(/^[a-zA-Z0-9_.-]{0,64}$/), (name) => {
        const code = clusterNameProblem(name)?.code;
        assert.equal(code !== 'InvalidResourceName', arm.test(name), name);
      }),
    );
  });

  it('of caches are not ARM’s reserved words', () => {
    for (const name of [
      'azure',
      'Access',
      'localhost',
      'my-microsoft-cache',
      'login1',
      'XboxCache',
    ]) {
      assert.equal(clusterNameProblem(name)?.code, 'ReservedResourceName', name);
    }
    for (const name of ['azure-cache', 'relogin', 'excel1']) {
      assert.equal(clusterNameProblem(name), null, name);
    }
  });

  it('of databases are default', () => {
    assert.equal(databaseNameProblem('default'), null);
    for (const name of ['', 'Default', 'other']) {
      assert.equal(databaseNameProblem(name)?.code, 'InvalidResourceName');
    }
  });

  it('of resource groups follow ARM’s pattern', () => {
    for (const name of ['default', 'a', '(x)_-.b', 'x'.repeat(90)]) {
      assert.equal(groupNameProblem(name), null, name);
    }
    for (const name of ['', 'a.', 'a/b', 'a b', 'x'.repeat(91)]) {
      assert.equal(groupNameProblem(name)?.code, 'InvalidResourceGroupName', name);
    }
  });

  it('are refused with the code', () => {
    requireName(null, 'name');
    assert.throws(
      () => requireName(clusterNameProblem('-'), 'name'),
      (error) => error instanceof ControlError && error.status === 400 && error.target === 'name',
    );
  });
});
