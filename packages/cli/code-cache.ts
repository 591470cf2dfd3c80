/**
 * The code that our processes run is kept compiled, beside the engines: of a short command's time, and
 * of a restart's, reading and compiling some hundred files is the larger part. Not in a shared folder:
 * whoever can write there could give us other code. Children are told the place by Node's own variable;
 * who sets it has chosen another place.
 */
import { enableCompileCache } from 'node:module';
import { foldersFrom, makePrivate } from './folders.ts';

const VARIABLE = 'NODE_COMPILE_CACHE';

/** The variable for a child's environment; none where the folder cannot be made: that is only slower. */
export function codeCache(env: NodeJS.ProcessEnv): Record<string, string> {
  if (env[VARIABLE]) return { [VARIABLE]: env[VARIABLE] };
  const folder = foldersFrom(env).codeCache;
  try {
    makePrivate(folder);
    return { [VARIABLE]: folder };
  } catch {
    return {};
  }
}

/** What is imported before this call is not kept. */
export function keepCompiledCode(): void {
  Object.assign(process.env, codeCache(process.env));
  const folder = process.env[VARIABLE];
  if (folder) enableCompileCache(folder);
}
