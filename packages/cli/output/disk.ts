import { lstatSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** Bytes of a file, or of all files under a folder. What cannot be read counts as nothing. */
export function folderBytes(root: string): number {
  try {
    const facts = lstatSync(root);
    if (!facts.isDirectory()) return facts.size;
    return readdirSync(root).reduce((sum, name) => sum + folderBytes(path.join(root, name)), 0);
  } catch {
    return 0;
  }
}
