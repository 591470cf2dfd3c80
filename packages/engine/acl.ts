/**
 * Users as the engine's ACL file and as ACL SETUSER arguments. The file has no quoting: a line is cut
 * at its blanks. So what holds a blank or a line break is refused, in both forms.
 */
import { type EngineCapabilities, knownRules } from './capabilities.ts';
import type { AclUser } from './contract.ts';
import { EngineError } from './errors.ts';

type Known = Pick<EngineCapabilities, 'commands' | 'categories'>;

/**
 * The whole users.acl. A file that does not name `default` would leave the engine's own: enabled,
 * without a password, allowed everything. So it is written down as off when nobody wants it.
 */
export function aclFile(users: readonly AclUser[], known: Known): string {
  const lines = users.map((user) => {
    return ['user', user.name, ...userTokens(user, known)].join(' ');
  });
  if (!users.some((user) => user.name === 'default')) lines.unshift('user default off -@all');
  return `${lines.join('\n')}\n`;
}

/** Everything behind the name. Starts from nothing, so that the user is exactly this afterwards. */
export function userTokens(user: AclUser, known: Known | null): string[] {
  check(user);
  return [
    'reset',
    user.enabled ? 'on' : 'off',
    ...user.passwordHashes.map((hash) => `#${hash}`),
    ...(known === null ? user.rules : knownRules(user.rules, known)),
  ];
}

function check(user: AclUser): void {
  if (user.name === '' || /[\s\0]/.test(user.name)) {
    throw new EngineError(
      'bad-user-name',
      `${JSON.stringify(user.name)} cannot name a user: names have no blanks and are not empty`,
    );
  }
  for (const rule of user.rules) {
    // A selector, '(+get ~a)', is the one rule that has blanks; the engine joins it again.
    const text = /^\(.*\)$/.test(rule) ? rule.replaceAll(' ', '') : rule;
    if (text === '' || /[\s\0]/.test(text)) {
      throw new EngineError(
        'bad-rule',
        `rule ${JSON.stringify(rule)} of user ${user.name} cannot be written: rules have no blanks`,
      );
    }
  }
  for (const hash of user.passwordHashes) {
    if (!/^[0-9a-f]{64}$/.test(hash)) {
      throw new EngineError(
        'bad-password-hash',
        `a password hash of user ${user.name} is not 64 lower-case hexadecimal digits`,
      );
    }
  }
}
