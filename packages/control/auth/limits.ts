/** Bounds of keys and secrets, each with its reason. */

/** Keys, tokens and certificate chains have a few kilobytes; a larger file is not one of ours. */
export const MAX_PRIVATE_FILE_BYTES = 1024 * 1024;

/** Of an access key: 32 bytes are 44 characters of base64, as Azure's keys look. */
export const ACCESS_KEY_BYTES = 32;

/** Of passwords that only our processes know, and of the API token: 256 bits each. */
export const SECRET_BYTES = 32;

/** AES-256-GCM: key, nonce and tag sizes as NIST SP 800-38D recommends. */
export const BOX_KEY_BYTES = 32;
export const BOX_NONCE_BYTES = 12;
export const BOX_TAG_BYTES = 16;

/** A presented password or token longer than this is wrong without being hashed. */
export const MAX_PRESENTED_LENGTH = 4096;
