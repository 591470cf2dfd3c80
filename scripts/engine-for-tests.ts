/**
 * Makes sure that there is an engine before tests run, and says what it does, so that a first run
 * does not look hung. Later runs find it in the shared cache and cost milliseconds.
 */
import { EngineError, provisionEngine } from '../packages/engine/index.ts';

/** A log needs no line twice a second. */
const SILENT_MS = 3_000;

try {
  let said = 0;
  const engine = await provisionEngine({
    onProgress: ({ detail, further }) => {
      if (further === true && performance.now() - said < SILENT_MS) return;
      said = performance.now();
      process.stderr.write(`engine: ${detail}\n`);
    },
  });
  const { name, version, origin } = engine.build;
  process.stderr.write(`engine: ${name} ${version} (${origin})\n`);
} catch (error) {
  if (!(error instanceof EngineError)) throw error;
  process.stderr.write(`engine: ${error.message}\n${error.remedy}\n`);
  process.exitCode = 1;
}
