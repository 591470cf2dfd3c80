/** The wire protocol: encode commands, parse replies, find a key's slot. */
export { type Argument, encodeCommand, encodeCommands } from './encode.ts';
export { parseReplies, type ReplyBounds, type ReplyHandlers, ReplyParser } from './parse.ts';
export { crc16, keySlot, SLOTS, slotOfRange } from './slot.ts';
export {
  type Push,
  type Reply,
  RespError,
  RespMap,
  RespProtocolError,
  RespSet,
  Verbatim,
} from './types.ts';
