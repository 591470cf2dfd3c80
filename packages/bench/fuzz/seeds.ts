/** Inputs that once failed, as latin1 text, by parser. They are run for ever. */
export const KEPT_INPUTS: readonly (readonly [parser: string, input: string])[] = [
  // Went on reporting replies, to the end of the chunk, after it had lost the stream.
  ['replies in the client kit', '\r$0\r\n\r\n,1.5\r\n-ERR x\r\n'],
  // Threw an error of the runtime instead of its own.
  ['addresses of caches', 'user:100%'],
];
