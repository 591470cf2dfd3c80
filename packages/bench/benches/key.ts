/** The key that clients log in with on every side of a comparison. */
export const ACCESS_KEY = 'benchmark-access-key';
