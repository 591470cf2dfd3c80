const DONE = { creating: 'created', updating: 'changed', deleting: 'deleted' } as const;

/** What the event of an accepted write or deletion is called, and says. */
export function accepted(
  what: 'cluster' | 'database',
  of: string,
  doing: keyof typeof DONE,
): readonly [reason: string, message: string] {
  const subject = what === 'cluster' ? `Cluster '${of}'` : `The database of '${of}'`;
  return [`${what}-${doing}`, `${subject} is being ${DONE[doing]}.`];
}
