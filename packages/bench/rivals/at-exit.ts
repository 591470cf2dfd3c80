/** What is done when this process exits, by one listener however many there are: Node warns of more than ten. */
const all = new Set<() => void>();

/** Answers how to take it back. */
export function atExit(run: () => void): () => void {
  if (all.size === 0) process.on('exit', runAll);
  all.add(run);
  return () => {
    if (all.delete(run) && all.size === 0) process.off('exit', runAll);
  };
}

function runAll(): void {
  for (const run of all) run();
}
