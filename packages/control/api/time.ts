/** Times in ARM's form. */

/** '2026-01-01T00:00:00.0000000+00:00', as the provider writes them in status documents. */
export function armTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}0000+00:00`;
}
