/** One line a happening on stderr, which the supervisor's starter points at a file. No secrets. */
export function say(reason: string, detail: string): void {
  process.stderr.write(`${new Date().toISOString()} ${process.pid} ${reason}: ${detail}\n`);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
