/** Lifetimes and sizes of certificates, each with its reason. */

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** Root and internal CAs: users copy the root by hand, so it must outlive the machines that hold it. */
export const CA_LIFE_MS = 10 * 365 * DAY;

/** Leaves: short, as nobody renews them by hand; two thirds of it pass between renewals. */
export const LEAF_LIFE_MS = 90 * DAY;

/** Renewed when this share of the life is left. */
export const RENEW_SHARE = 1 / 3;

/** Valid from a little before now: clocks of other machines are behind, and CAs travel further. */
export const LEAF_BACKDATE_MS = HOUR;
export const CA_BACKDATE_MS = DAY;

/** Of leaves that clients see (see issue.ts for why RSA). */
export const RSA_BITS = 2048;

/** Two keys ahead: a new cache needs one for the endpoint and one for its engines. */
export const KEYS_AHEAD = 2;

/** The thread that makes certificates ends after so long without one to make. */
export const ISSUER_IDLE_MS = 5000;

/** X.520's bound of a common name; a longer host name is in the alternative names only. */
export const MAX_COMMON_NAME = 64;

/** Files of earlier generations that stay: a process that is just starting may read the last one. */
export const GENERATIONS_KEPT = 2;

/** A chain that a user brings: leaf, a few intermediates, perhaps a root. */
export const MAX_CHAIN_LENGTH = 10;
export const MAX_PEM_BYTES = 256 * 1024;

/** OpenSSL's security level 2, which is the default on Debian, refuses less. */
export const MIN_RSA_BITS = 2048;
