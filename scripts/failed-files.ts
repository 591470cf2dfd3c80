/** A reporter that writes the names of test files in which something failed, one a line. */
import type { TestEvent } from 'node:test/reporters';

export default async function* failedFiles(events: AsyncIterable<TestEvent>) {
  const seen = new Set<string>();
  for await (const event of events) {
    if (event.type !== 'test:fail') continue;
    const file = event.data.file;
    if (file === undefined || seen.has(file)) continue;
    seen.add(file);
    yield `${file}\n`;
  }
}
