import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { canonical, certificateNames, missingNames } from './names.ts';

describe('names of certificates', () => {
  it('begin with the host name and end with what was added, without doubles', () => {
    const names = certificateNames('localhost', { listen: ['127.0.0.1'], domain: null });
    assert.deepEqual(names, [...new Set(['localhost', hostname(), '127.0.0.1', '::1'])]);
    const wide = certificateNames('a.b.example.org', {
      listen: ['[2001:DB8:0::5]', '2001:db8::5', 'EXAMPLE.org.', 'fe80::1%eth0'],
      domain: 'example.org',
    });
    assert.equal(wide[0], 'a.b.example.org');
    assert.deepEqual(wide.slice(-3), ['2001:DB8:0::5', 'EXAMPLE.org', 'fe80::1']);
  });

  it('stand for the machine’s addresses where the listen address means all', () => {
    for (const all of ['0.0.0.0', '::', '[::]']) {
      const names = certificateNames(null, { listen: [all], domain: null });
      for (const never of ['0.0.0.0', '::', '[::]']) assert.ok(!names.includes(never));
    }
  });

  it('leave out what no certificate can carry', () => {
    const names = certificateNames(null, {
      listen: ['a b', '', 'x,y', 'ok.example', '-bad', 'a..b', 'ü.example'],
      domain: null,
    });
    assert.ok(names.includes('ok.example'));
    for (const bad of ['a b', '', 'x,y', '-bad', 'a..b', 'ü.example'])
      assert.ok(!names.includes(bad));
  });

  it('are compared by meaning', () => {
    assert.deepEqual(missingNames(['LOCALHOST', '0:0:0:0:0:0:0:1'], ['localhost', '::1']), []);
    assert.deepEqual(missingNames(['a', '10.0.0.1'], ['b']), ['a', '10.0.0.1']);
    fc.assert(
      fc.property(fc.ipV6(), (address) => canonical(canonical(address)) === canonical(address)),
    );
  });
});
