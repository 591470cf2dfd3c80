/**
 * The engine's glob: * ? [a-z] [^x] and backslash. Without recursion, and going back to the last star
 * only: patterns are clients' words, and one with many stars must not cost exponential time.
 */
export function globMatches(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let mark = 0;
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = ++p;
      mark = t;
      continue;
    }
    const next = p < pattern.length ? matchOne(pattern, p, text[t] ?? '') : -1;
    if (next > 0) {
      p = next;
      t++;
    } else if (star >= 0) {
      p = star;
      t = ++mark;
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p >= pattern.length;
}

/** Behind the element at `p` when it matches this character; else -1. */
function matchOne(pattern: string, p: number, character: string): number {
  const c = pattern[p];
  if (c === '[') {
    const end = pattern.indexOf(']', p + 2);
    const close = end < 0 ? pattern.length : end;
    return inClass(pattern.slice(p + 1, close), character) ? close + 1 : -1;
  }
  if (c === '\\' && p + 1 < pattern.length) return pattern[p + 1] === character ? p + 2 : -1;
  return c === '?' || c === character ? p + 1 : -1;
}

function inClass(members: string, character: string): boolean {
  const not = members.startsWith('^');
  const list = not ? members.slice(1) : members;
  let found = false;
  for (let i = 0; i < list.length; i++) {
    if (list[i + 1] === '-' && i + 2 < list.length) {
      const [low = '', high = ''] = [list[i], list[i + 2]].sort();
      if (character >= low && character <= high) found = true;
      i += 2;
    } else if (list[i] === character) found = true;
  }
  return found !== not;
}
