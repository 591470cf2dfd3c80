/**
 * SCRIPT KILL and FUNCTION KILL. An engine that executes a script for long reads what others send it, and
 * refuses everything but this and a login. But it reads nothing more from the connection that the script
 * came on; and that is a lane, the one on which a KILL would follow. So it gets a connection of its own
 * each time, which does nothing but log in. It waits for nothing of its client either: what that has on its
 * way may stand behind the script. Its answer keeps its place.
 */
import { connect } from 'node:net';
import { encodeCommand, type Reply, ReplyParser, RespError } from '../../resp/index.ts';
import type { Call } from './dispatch.ts';
import { LANE_CONNECT_MS } from './limits.ts';
import { TAKEN } from './session.ts';
import type { Shard } from './shard.ts';

const KILLS = new Set(['script|kill', 'function|kill']);

export function isKill(name: string): boolean {
  return KILLS.has(name);
}

/** To every shard; `joined` makes one answer of theirs. */
export function killScripts(
  call: Call,
  shards: readonly Shard[],
  joined: (replies: readonly Buffer[]) => Buffer,
): number {
  const { session, command, bytes, start, end } = call;
  const place = session.order.place(command);
  const whole = Buffer.from(bytes.subarray(start, end));
  const { twin, password } = session.state.login;
  const login = encodeCommand(['AUTH', twin, password]);
  session.gate(1);
  void Promise.all(shards.map((shard) => ask(shard, login, whole))).then((replies) => {
    session.gate(-1);
    session.fill(place, joined(replies));
  });
  return TAKEN;
}

/** Answers always: an error, if that engine does not. */
function ask(shard: Shard, login: Buffer, command: Buffer): Promise<Buffer> {
  return new Promise((answer) => {
    const lost = Buffer.from(`-ERR shard-unreachable: shard ${shard.id} did not answer\r\n`);
    const { primary } = shard.view;
    if (primary === null) return answer(lost);
    const socket = connect(primary.socket);
    const timer = setTimeout(() => socket.destroy(), LANE_CONNECT_MS);
    const replies: Reply[] = [];
    const parser = new ReplyParser({
      onReply: (reply) => {
        replies.push(reply);
        // A login that was refused answers for both.
        const last = replies.length === 2 || reply instanceof RespError;
        if (!last) return;
        answer(
          Buffer.from(
            reply instanceof RespError ? `-${reply.message}\r\n` : `+${String(reply)}\r\n`,
          ),
        );
        socket.destroy();
      },
    });
    socket.on('data', (chunk: Buffer) => parser.push(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      clearTimeout(timer);
      answer(lost);
    });
    socket.write(Buffer.concat([login, command]));
  });
}
