/** The entry of the `cinnabar` command. */
import { keepCompiledCode } from './code-cache.ts';

// What is to leave no trace makes none.
if (!process.argv.includes('uninstall')) keepCompiledCode();
const { main } = await import('./run.ts');
await main(process.argv.slice(2));
