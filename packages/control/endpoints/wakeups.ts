/** Waiting for a condition without polling: whoever changes something wakes those who wait. */
export class Wakeups {
  readonly #waiting = new Set<() => void>();

  wake(): void {
    for (const check of [...this.#waiting]) check();
  }

  add(check: () => void): () => void {
    this.#waiting.add(check);
    return () => this.#waiting.delete(check);
  }
}

/** True as soon as the condition holds; false at the deadline. */
export function until(
  wakeups: Wakeups,
  deadlineMs: number,
  condition: () => boolean,
): Promise<boolean> {
  if (condition()) return Promise.resolve(true);
  return new Promise((resolve) => {
    const finish = (result: boolean): void => {
      clearTimeout(timer);
      remove();
      resolve(result);
    };
    const timer = setTimeout(() => finish(condition()), deadlineMs);
    const remove = wakeups.add(() => {
      if (condition()) finish(true);
    });
  });
}
