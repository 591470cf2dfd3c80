/** Why a rival has no figures: one line for the report. */
const LONGEST = 300;

export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return (text.split('\n')[0] ?? '').slice(0, LONGEST);
}
