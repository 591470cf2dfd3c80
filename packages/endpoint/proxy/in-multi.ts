/** Which of the commands that are answered here may stand in a MULTI. */

/** Commands that are answered here otherwise, but that the engine answers the same inside EXEC. */
export const PASSED_ON = new Set([
  'ping',
  'echo',
  'publish',
  'wait',
  'waitaof',
  'unwatch',
  'time',
  'spublish',
]);

/** Others leave or end the MULTI, as they do in the engine. */
const ENDS = new Set(['multi', 'exec', 'discard', 'watch', 'quit', 'reset', 'select']);

/** Of a command that is answered here otherwise. */
export function mayStandInMulti(name: string): boolean {
  return PASSED_ON.has(name) || ENDS.has(name);
}
