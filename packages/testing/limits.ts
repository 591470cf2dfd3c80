/** Creating the cache, once Cinnabar runs. */
export const CREATE_TIMEOUT_MS = 60_000;
/** An orderly end of a small cache takes well under a second; after this it is killed. */
export const END_TIMEOUT_MS = 4_000;
/** A new data folder with its certificates and logs; less space than this is none. */
export const LEAST_TEMPORARY_BYTES = 1_048_576;
/** Below the range that Linux gives to outgoing connections (32768 up), above the usual services. */
export const PORTS_FROM = 21_000;
export const PORTS_TO = 32_000;
/** Enough for the largest cache that a test makes. */
export const PORT_BLOCK = 200;
