/**
 * The entry of the control process. The code that it runs is kept compiled beside the engines: of a
 * restart's time, reading and compiling some hundred files was the larger part. Not in a shared
 * folder: whoever can write there could give us other code.
 */
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

const cache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
enableCompileCache(join(cache, 'cinnabar', 'code'));
await import('./boot/run.ts');
