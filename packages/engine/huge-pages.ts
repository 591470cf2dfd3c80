/**
 * Engines keep their data in huge pages where the kernel has them.
 *
 * Not for the speed of the engine but for what the kernel does with a whole process. One that is killed
 * gives its memory back page by page before its sockets are closed, and until then nobody knows that it
 * is dead, nor has its replica read the end of its stream: 0.1 ms for each MB, a second for 10 GB, added
 * to every failover. One that forks (each snapshot, each new copy) copies its table of pages meanwhile
 * and answers nobody. A huge page is one entry instead of 512.
 *
 * Engines ask the kernel for the opposite, for a reason that is gone: until Linux 5.8 the first write to
 * a huge page after a fork copied all of its 2 MB. Since then the page is taken apart and 4 KB are copied.
 * On older kernels we leave everything as it was.
 */
import { release } from 'node:os';

/** Whether the kernel of this release copies small pages also out of huge ones. */
export function copiesSmallPages(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map((part) => Number.parseInt(part, 10));
  return major > 5 || (major === 5 && minor >= 8);
}

export const HUGE_PAGES = copiesSmallPages(release());

/**
 * The allocator asks for them: by itself a kernel gives them only where it is set to. One name is that
 * of jemalloc as a library, the other that of the one within an engine. No other allocator reads them.
 */
export function allocatorEnvironment(): Record<string, string> {
  return HUGE_PAGES ? { MALLOC_CONF: 'thp:always', JE_MALLOC_CONF: 'thp:always' } : {};
}
