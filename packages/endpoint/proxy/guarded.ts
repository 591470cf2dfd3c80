/**
 * Carries out a guard rule whose answer depends on how large a key is.
 *
 * Asking first (HLEN, and HGETALL when the answer is small) costs a round trip, holds up what the
 * client sent behind it, and proves little: the hash may have grown meanwhile, and in a MULTI there is
 * no moment to ask at all. Remembering sizes proves even less. So a command that may be refused
 * travels as one script, in its place on its lane: the engine measures the keys and runs the command
 * in one step, or answers with the size. One round trip, in order, no race, and the same inside MULTI.
 * The command is the script's arguments, byte for byte, and its reply comes back unchanged.
 *
 * A rule that only warns has nothing to prevent: the question travels beside the command and nobody
 * waits for its answer.
 *
 * Scripts and functions of clients are not looked into. A rule that refuses always is also an ACL
 * rule of the engine (control/auth), and that one holds there, too.
 */
import { encodeCommand } from '../../resp/index.ts';
import { FULL_BOUNDS, RequestScanner } from '../../resp/scan-request.ts';
import { type Command, keyArguments } from '../../resp/table/index.ts';
import type { GuardRule } from '../control-protocol.ts';
import { type Call, refuse } from './dispatch.ts';
import { judge, refusal } from './guard.ts';
import { printable } from './large-keys.ts';
import type { Pending } from './pending.ts';
import { integer } from './raw-reply.ts';
import { argumentsOf, bytesOf, firstSlot, textOf, WRAPPED_KEY } from './route.ts';
import { TAKEN } from './session.ts';

const SIZE = `
local size = 0
for i = 1, tonumber(ARGV[1]) do
  local kind = redis.call('TYPE', KEYS[i])['ok']
  local measure = ({hash='HLEN', list='LLEN', set='SCARD', zset='ZCARD', stream='XLEN'})[kind]
  if measure then size = size + redis.call(measure, KEYS[i]) end
end`;
const MEASURE = Buffer.from(`${SIZE}\nreturn size`);
const MEASURE_AND_RUN = Buffer.from(`${SIZE}
if size > tonumber(ARGV[2]) then return redis.error_reply('GUARDREFUSED ' .. size) end
redis.setresp(tonumber(ARGV[3]))
return redis.pcall(unpack(ARGV, 4))`);
const OVER = '-GUARDREFUSED ';

/** `run` executes or queues a call; it is given this one, or what travels in its place. */
export function underGuard(call: Call, rule: GuardRule, run: (call: Call) => number): number {
  const verdict = judge(rule, wordsOf(call));
  if (verdict.kind === 'refuse') {
    acted(call, rule);
    return refuse(call.session, refusal(rule, null));
  }
  const inside = verdict.kind === 'measure' && verdict.action === 'refuse';
  const took = run(inside ? wrapped(call, rule) : call);
  // A call that could not go on is offered again: it is warned of once.
  if (took !== TAKEN) return took;
  if (verdict.kind === 'warn') acted(call, rule);
  else if (verdict.kind === 'measure' && !inside) measureFor(call, rule);
  return took;
}

/** The script's answer that the key is too large, in the words of the rule; null: not such an answer. */
export function overLimit(pending: Pending, line: Buffer): string | null {
  const { session, command, block } = pending;
  if (!isOver(line) || session === null || command === null || block === null) return null;
  const key = wrappedKey(block.bytes, pending.from, pending.to);
  return overLimitOf(session, command, line, key);
}

export function overLimitOf(
  session: Call['session'],
  command: Command,
  line: Buffer,
  key: string,
): string | null {
  if (!isOver(line)) return null;
  const rule = session.proxy.guard.rule(command.name);
  const size = integer(line.subarray(OVER.length - 1));
  // It was taken away while the command was on its way.
  if (rule === null) return refusal({ command: command.name, action: 'refuse', above: 0 }, size);
  session.proxy.guard.acted(rule, session.id, key, size);
  return refusal(rule, size);
}

function isOver(line: Buffer): boolean {
  return line.toString('latin1', 0, OVER.length) === OVER;
}

/** The same call as a script: still known, counted and routed as the command that it carries. */
function wrapped(call: Call, rule: GuardRule): Call {
  const { session, command, bytes, args } = call;
  const words = argumentsOf(bytes, args);
  const keys = keyArguments(command, bytes, args);
  const measured = measuredKeys(command, keys);
  // Those that are measured first: a destination is declared, but not measured.
  const declared = [...measured, ...keys.filter((index) => !measured.includes(index))];
  const whole = encodeCommand([
    command.write ? 'EVAL' : 'EVAL_RO',
    MEASURE_AND_RUN,
    String(declared.length),
    ...declared.map((index) => words[index] ?? ''),
    String(measured.length),
    String(rule.above),
    String(session.state.protocol),
    ...words,
  ]);
  const scanner = new RequestScanner();
  scanner.scan(whole, 0, whole.length, FULL_BOUNDS);
  return { session, command, bytes: whole, start: 0, end: whole.length, args: scanner };
}

function measureFor(call: Call, rule: GuardRule): void {
  const { session, command, bytes, args } = call;
  const { topology } = session.proxy.world;
  const slot = firstSlot(command, bytes, args);
  const shard = slot < 0 ? topology.first() : topology.ofSlot(slot);
  const lane = shard === null ? null : shard.smallLane(session.lanes.groupOf(shard));
  if (lane === null) return; // it is not known then; the command found another lane
  const keys = measuredKeys(command, keyArguments(command, bytes, args));
  const names = keys.map((index) => Buffer.from(bytesOf(bytes, args, index)));
  const question = ['EVAL_RO', MEASURE, String(names.length), ...names, String(names.length)];
  const first = names[0] === undefined ? '' : printable(names[0]);
  lane.question(question, (reply) => {
    const size = reply !== null && reply[0] === 58 ? integer(reply) : 0;
    if (size > rule.above) session.proxy.guard.acted(rule, session.id, first, size);
  });
}

/** Which of its keys are read: SORT and the *STORE commands also name one that is only written. */
function measuredKeys(command: Command, keys: readonly number[]): number[] {
  if (command.name === 'sort' || command.name === 'sort_ro') return keys.slice(0, 1);
  return command.name.endsWith('store') ? keys.slice(1) : [...keys];
}

function wordsOf({ bytes, args }: Call): string[] {
  const words: string[] = [];
  for (let i = 0; i < args.count; i++) words.push(textOf(bytes, args, i).slice(0, 32));
  return words;
}

function acted(call: Call, rule: GuardRule): void {
  const { session, command, bytes, args } = call;
  const [index] = keyArguments(command, bytes, args);
  const key = index === undefined ? '' : printable(bytesOf(bytes, args, index));
  session.proxy.guard.acted(rule, session.id, key, null);
}

function wrappedKey(bytes: Buffer, from: number, to: number): string {
  const scanner = new RequestScanner();
  scanner.scan(bytes, from, to, FULL_BOUNDS);
  return scanner.count > WRAPPED_KEY ? printable(bytesOf(bytes, scanner, WRAPPED_KEY)) : '';
}
