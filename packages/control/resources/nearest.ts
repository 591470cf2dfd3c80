/** Which of the words that there are somebody may have meant: few letters away, the nearest first. Pure. */
export function nearest(word: string, words: readonly string[]): string[] {
  const most = Math.max(1, Math.floor(word.length / 3));
  return words
    .map((each) => ({ each, away: distance(word, each) }))
    .filter(({ away }) => away <= most)
    .toSorted((a, b) => a.away - b.away)
    .map(({ each }) => each);
}

/** Letters to insert, remove or exchange (Levenshtein). */
function distance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      row.push(Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (above[j - 1] ?? 0) + same));
    }
    above = row;
  }
  return above[b.length] ?? 0;
}
