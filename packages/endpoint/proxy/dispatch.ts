/**
 * What becomes of a command that did not take the short way: the checks in the engine's own order
 * and wording (does it exist, are there enough arguments, may this connection run it now), then its
 * fate from the command table.
 *
 * A handler answers TAKEN, or STALLED when it could not go on; then it must have done nothing, since
 * the same command is offered again.
 */
import { encodeCommand } from '../../resp/index.ts';
import { splitInline } from '../../resp/inline.ts';
import { FULL_BOUNDS, RequestScanner, SCAN_INLINE } from '../../resp/scan-request.ts';
import { AZURE_BLOCKED, type Command, isWord } from '../../resp/table/index.ts';
import { block, mayBlock } from './blocking.ts';
import { EARLY_TABLE } from './early-table.ts';
import { all } from './fan-out.ts';
import { underGuard } from './guarded.ts';
import { BULK_BYTES, LOCAL_ARGUMENT_BYTES } from './limits.ts';
import { LOCAL } from './local.ts';
import { answeredHere } from './measure.ts';
import { waitedTooLong } from './retries.ts';
import { firstSlot, isWrapped, nodeSlot, textOf, WRAPPED_KEY } from './route.ts';
import { script } from './script-command.ts';
import { ENDED, type Session, STALLED, TAKEN } from './session.ts';
import type { Shard } from './shard.ts';
import { split } from './split.ts';
import { forget } from './transaction.ts';

/** One whole command: where it lies, what it is. */
export interface Call {
  readonly session: Session;
  readonly command: Command;
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  readonly args: RequestScanner;
}

export type Handler = (call: Call) => number;

const inlineScanner = new RequestScanner();

export function dispatch(
  session: Session,
  bytes: Buffer,
  start: number,
  found: number,
  scanner: RequestScanner,
): number {
  if (found !== SCAN_INLINE) return offer(session, bytes, start, scanner.end, scanner);
  const args = splitInline(bytes.subarray(scanner.lineStart, scanner.lineEnd));
  if (args === null) {
    session.reply('-ERR Protocol error: unbalanced quotes in request\r\n');
    session.endWhenQuiet('protocol-error');
    return ENDED;
  }
  if (args.length === 0) return TAKEN;
  const whole = encodeCommand(args);
  inlineScanner.scan(whole, 0, whole.length, FULL_BOUNDS);
  return offer(session, whole, 0, whole.length, inlineScanner);
}

/** With CLIENT REPLY SKIP said before, this command's reply is dropped, whatever it is. */
function offer(
  session: Session,
  bytes: Buffer,
  start: number,
  end: number,
  args: RequestScanner,
): number {
  const { state, order } = session;
  if (state.replies !== 'skip-next') return handle(session, bytes, start, end, args);
  state.replies = 'on';
  order.muting = true;
  const took = handle(session, bytes, start, end, args);
  state.setReplies(took === STALLED ? 'skip-next' : state.replies);
  return took;
}

function handle(
  session: Session,
  bytes: Buffer,
  start: number,
  end: number,
  args: RequestScanner,
): number {
  const { proxy, state } = session;
  if (session.gated || state.running !== null) {
    session.stall('redirected');
    return STALLED;
  }
  if (proxy.world.turns.over(session)) {
    session.stall('turn');
    proxy.world.wake(session);
    return STALLED;
  }
  if (isHttp(bytes, args)) {
    session.endWhenQuiet('protocol-error');
    return ENDED;
  }
  const root = (proxy.table ?? EARLY_TABLE).find(bytes, args.starts[0] ?? 0, args.ends[0] ?? 0);
  // Nobody hears before a login which commands there are, or how they are written.
  if (state.user === null && !isEarly(bytes, args)) {
    // Also while the table is not known yet.
    const exec = isWord('exec', bytes, args.starts[0] ?? 0, args.ends[0] ?? 0);
    return reject(session, exec, '-NOAUTH Authentication required.\r\n');
  }
  if (root === null && proxy.table === null) {
    const shard = proxy.world.topology.first();
    if (session.overdue(shard)) return fail(session, shard);
    session.stallFor(shard);
    return STALLED;
  }
  if (root === null)
    return refuse(session, newerName(session, bytes, args) ?? unknownCommand(bytes, args));
  let command = root;
  if (root.subcommands !== null && args.count > 1) {
    const sub = root.subcommands.find(bytes, args.starts[1] ?? 0, args.ends[1] ?? 0);
    if (sub === null) {
      const newer = newerName(session, bytes, args, root);
      return refuse(session, newer ?? unknownSubcommand(root, bytes, args));
    }
    command = sub;
  }
  if (command.arity > 0 ? args.count !== command.arity : args.count < -command.arity) {
    return reject(
      session,
      command.name === 'exec',
      `-ERR wrong number of arguments for '${command.name}' command\r\n`,
    );
  }
  const { fate } = command;
  if (fate.kind === 'refused' || (proxy.view.azureStrict && AZURE_BLOCKED.has(command.name))) {
    return refuse(
      session,
      command === root ? unknownCommand(bytes, args) : unknownSubcommand(root, bytes, args),
    );
  }
  const call: Call = { session, command, bytes, start, end, args };
  const newer = proxy.newer.active ? proxy.newer.refusal(call) : null;
  if (newer !== null) return refuse(session, newer);
  if (state.subscriber !== null && state.protocol === 2 && !SUBSCRIBED.has(command.name)) {
    return reject(
      session,
      command.name === 'exec',
      `-ERR Can't execute '${command.name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n`,
    );
  }
  if (proxy.monitors.has(session) && isForPrimaries(command)) {
    return refuse(session, "-ERR Replica can't interact with the keyspace\r\n");
  }
  if (state.mode.kind === 'transaction' && command.noMulti) {
    return refuse(session, notInTransaction(command.name));
  }
  if (proxy.world.topology.only !== null) {
    const moved = proxy.world.topology.moved(nodeSlot(command, bytes, args));
    if (moved !== null) return refuse(session, moved);
  }
  // Before it runs, and when it is queued: CLIENT LIST shows who asks as the one that says CLIENT LIST.
  session.lastCommand = command.name;
  const rule = proxy.guard.rule(command.name);
  if (state.mode.kind === 'transaction' && !TRANSACTION.has(command.name)) {
    const { transaction } = state.mode;
    const { length } = transaction;
    const queue = (queued: Call): number => transaction.queue(queued);
    const took = rule === null ? queue(call) : underGuard(call, rule, queue);
    if (transaction.length > length) proxy.monitors.saw(call);
    return took;
  }
  return ran(call, rule === null ? execute : (guarded) => underGuard(guarded, rule, execute));
}

/** Executes a command, and counts and shows it. */
export function ran(call: Call, run: Handler): number {
  const { session, command, start, end } = call;
  const { proxy, state, order } = session;
  const { last, hereBytes, hereErrors } = order;
  const took = run(call);
  if (took === STALLED) return took;
  if (state.caching !== null && !command.name.startsWith('client|')) state.cachingUsed();
  session.commands++;
  const meter = proxy.world.meter.of(command);
  meter.requestBytes.add(end - start, 1);
  // Neither a place of its own in the order, where it is counted when that is filled, nor a lane.
  const here = command.fate.kind === 'local';
  if (here && (order.last === last || order.last?.command === null)) {
    answeredHere(session, command, order.hereBytes - hereBytes, order.hereErrors > hereErrors);
  }
  // What stood in a MULTI was shown when it was queued.
  if (proxy.monitors.watching && state.running === null) {
    proxy.monitors.saw(call);
  }
  return took;
}

/** Runs a command by its fate. */
export function execute(call: Call): number {
  const { session, command } = call;
  const { fate } = command;
  switch (fate.kind) {
    case 'keyed':
      return keyed(call);
    case 'split':
      return split(call, fate);
    case 'all':
      return all(call, fate.merge);
    case 'one':
      return toShard(call, session.proxy.world.topology.first());
    case 'script':
      return script(call);
    case 'block':
      return mayBlock(call, fate) ? block(call) : keyed(call);
    case 'local': {
      if (call.end - call.start > LOCAL_ARGUMENT_BYTES && tooLong(call)) {
        return refuse(
          session,
          `-ERR argument-too-long: '${command.name}' takes arguments of at most 64 KB\r\n`,
        );
      }
      const handler = LOCAL[fate.handler];
      if (handler === undefined) throw new Error(`no handler '${fate.handler}'`);
      return handler(call);
    }
    case 'refused':
      return refuse(session, unknownCommand(call.bytes, call.args));
  }
}

/** Payloads apart, nothing that is understood here is long. */
function tooLong({ command, args }: Call): boolean {
  for (let i = 1; i < args.count; i++) {
    const length = (args.ends[i] ?? 0) - (args.starts[i] ?? 0);
    if (length > LOCAL_ARGUMENT_BYTES && PAYLOADS[command.name] !== i) return true;
  }
  return false;
}
const PAYLOADS: Readonly<Record<string, number>> = { echo: 1, ping: 1, publish: 2, spublish: 2 };

/** To the shard of its first key. Several slots: the engine says CROSSSLOT itself. */
export function keyed(call: Call): number {
  const { session, command, bytes, args } = call;
  const slot = firstSlot(command, bytes, args);
  const { topology } = session.proxy.world;
  // Without keys (their number was wrong, say) any engine knows the right error.
  return toShard(call, slot < 0 ? topology.first() : topology.ofSlot(slot));
}

export function toShard(call: Call, shard: Shard | null): number {
  const { session, command, bytes, start, end, args } = call;
  if (shard === null || session.overdue(shard)) return fail(session, shard);
  if (repliesMayBeMany(session, command)) return STALLED;
  const index = isWrapped(command, bytes, args) ? WRAPPED_KEY : command.firstKey;
  const { large } = session.proxy.world;
  const largeReply =
    large.seen > 0 &&
    index > 0 &&
    index < args.count &&
    large.isLarge(bytes, args.starts[index] ?? 0, args.ends[index] ?? 0, command, session);
  if (largeReply && session.lanes.crowded(shard)) {
    session.stall('large-replies');
    return STALLED;
  }
  const lane = session.laneFor(shard, largeReply || end - start > BULK_BYTES, command);
  if (lane === null) return STALLED;
  session.lanes.wrote(lane, command);
  session.state.sayCaching(lane);
  lane.send(session, command, bytes, start, end, 1);
  return TAKEN;
}

/**
 * True, and the session waits: so much has been asked for already, and how large the answers are is not
 * known (`READS_FIRST`). What only writes answers little; scripts and questions about the engine may not.
 */
export function repliesMayBeMany(session: Session, command: Command): boolean {
  if (command.write || session.lanes.readsAhead > 0) return false;
  session.stall('replies');
  return true;
}

/** The wait for a shard was too long, or there is none. */
export function fail(session: Session, shard: Shard | null): number {
  const reason = shard === null ? 'no-shard' : shard.obstacle || shard.trouble || 'lane-busy';
  session.reply(waitedTooLong(shard?.id ?? 'of this key', reason));
  return TAKEN;
}

/** An error that is known at once. Within a MULTI it also spoils the transaction. */
export function refuse(session: Session, text: string | Buffer): number {
  const { mode } = session.state;
  if (mode.kind === 'transaction') mode.transaction.spoil();
  session.reply(text);
  return TAKEN;
}

/** The same, before it is looked at what the command is about: an EXEC that is not taken ends its MULTI. */
function reject(session: Session, exec: boolean, text: string): number {
  if (!exec) return refuse(session, text);
  forget(session);
  const why = text.replace(/^-(ERR )?/, '');
  return refuse(session, `-EXECABORT Transaction discarded because of: ${why}`);
}

export function notInTransaction(name: string): string {
  return `-ERR Command '${name}' not allowed inside a transaction\r\n`;
}

/** What somebody may say who has not said who he is. */
function isEarly(bytes: Buffer, { starts, ends }: RequestScanner): boolean {
  const [start = 0] = starts;
  const [end = 0] = ends;
  return EARLY.some((word) => isWord(word, bytes, start, end));
}

/** What the engine keeps from a replica, and a monitor is one to it. */
function isForPrimaries({ name, readonly, write, fate }: Command): boolean {
  return readonly || write || fate.kind === 'script' || name === 'publish' || name === 'spublish';
}

/** A browser that was sent here by somebody's page: what it says next is not for us either. */
function isHttp(bytes: Buffer, { starts, ends }: RequestScanner): boolean {
  const [start = 0] = starts;
  const [end = 0] = ends;
  return isWord('post', bytes, start, end) || isWord('host:', bytes, start, end);
}

/** A command that only a newer engine of the database knows, and this table not. */
function newerName(
  { proxy, state }: Session,
  bytes: Buffer,
  args: RequestScanner,
  root: Command | null = null,
): string | null {
  if (!proxy.newer.active || state.user === null) return null;
  const name = textOf(bytes, args, root === null ? 0 : 1).toLowerCase();
  return proxy.newer.name(root === null ? name : `${root.name}|${name}`);
}

/** In the engine's words, arguments cut as it cuts them, byte by byte. */
function unknownCommand(bytes: Buffer, args: RequestScanner): Buffer {
  let beginning = '';
  for (let i = 1; i < args.count && beginning.length < 128; i++) {
    const start = args.starts[i] ?? 0;
    const end = Math.min(args.ends[i] ?? 0, start + 128 - beginning.length);
    beginning += `'${upToNul(bytes.toString('latin1', start, end))}' `;
  }
  const from = args.starts[0] ?? 0;
  const name = upToNul(bytes.toString('latin1', from, Math.min(args.ends[0] ?? 0, from + 128)));
  return Buffer.from(
    `-ERR unknown command '${clean(name)}', with args beginning with: ${clean(beginning)}\r\n`,
    'latin1',
  );
}

function unknownSubcommand(root: Command, bytes: Buffer, args: RequestScanner): Buffer {
  const from = args.starts[1] ?? 0;
  const given = upToNul(bytes.toString('latin1', from, Math.min(args.ends[1] ?? 0, from + 128)));
  return Buffer.from(
    `-ERR unknown subcommand '${clean(given)}'. Try ${root.name.toUpperCase()} HELP.\r\n`,
    'latin1',
  );
}

/** As the engine writes it, for which a text ends there. */
function upToNul(text: string): string {
  const at = text.indexOf('\0');
  return at < 0 ? text : text.slice(0, at);
}

/** The engine never lets a line end within an error. */
function clean(text: string): string {
  return text.replace(/[\r\n]/g, ' ');
}

const SUBSCRIBED = new Set([
  'subscribe',
  'psubscribe',
  'ssubscribe',
  'unsubscribe',
  'punsubscribe',
  'sunsubscribe',
  'ping',
  'quit',
  'reset',
]);
const EARLY = ['auth', 'hello', 'quit', 'reset'];
const TRANSACTION = new Set(['exec', 'discard', 'quit', 'reset']);
