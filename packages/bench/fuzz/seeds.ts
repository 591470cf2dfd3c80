/** Inputs that once failed, as latin1 text, by parser. They are run for ever. */
export const KEPT_INPUTS: readonly (readonly [parser: string, input: string])[] = [];
