/** The wire protocol: encode commands, parse replies, find a key's slot. */
export { type Argument, encodeCommand, encodeCommands } from './encode.ts';
export { parseReplies, ReplyParser } from './parse.ts';
export { keySlot, SLOTS, slotOfRange } from './slot.ts';
export {
  type Push,
  type Reply,
  RespError,
  RespProtocolError,
} from './types.ts';
