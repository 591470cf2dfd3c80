/** What is said first on a connection to an engine: who we are, on behalf of whom, in which protocol. */
import type { Socket } from 'node:net';
import { encodeCommands, type Reply, ReplyParser, RespError } from '../../resp/index.ts';

import type { TrackingState } from './tracking.ts';

export interface LaneLogin {
  /** The user that clients know. */
  readonly user: string;
  /** The engine's user with the same rights. */
  readonly twin: string;
  readonly password: string;
  readonly protocol: 2 | 3;
  readonly database: number;
  /** Lanes of one tracking session; null: shared. */
  readonly tracking: TrackingState | null;
  /** Lanes of sessions that said CLIENT NO-TOUCH ON. */
  readonly noTouch: boolean;
}

/** Which copy of the shard a lane leads to; a replica of a cluster must be told that it may answer. */
export type LaneCopy = 'primary' | 'replica' | 'cluster-replica';

/** Logs in. `done` gets the engine's CLIENT ID, or what went wrong. */
export function introduce(
  socket: Socket,
  login: LaneLogin,
  copy: LaneCopy,
  done: (result: number | string) => void,
): void {
  const { twin, password, protocol, database } = login;
  const commands: string[][] = [
    protocol === 3 ? ['HELLO', '3', 'AUTH', twin, password] : ['AUTH', twin, password],
    ['CLIENT', 'ID'],
  ];
  if (database !== 0) commands.push(['SELECT', String(database)]);
  if (copy === 'cluster-replica') commands.push(['READONLY']);
  if (login.noTouch) commands.push(['CLIENT', 'NO-TOUCH', 'ON']);
  if (login.tracking !== null) commands.push([...login.tracking.prelude]);
  let answers = 0;
  let id = 0;
  const parser = new ReplyParser({
    onReply: (reply: Reply) => {
      answers++;
      if (reply instanceof RespError) {
        socket.removeAllListeners('data');
        done(reply.message);
        return;
      }
      if (answers === 2) id = Number(reply);
      if (answers < commands.length) return;
      socket.removeAllListeners('data');
      done(id);
    },
  });
  socket.on('data', (chunk: Buffer) => parser.push(chunk));
  socket.write(encodeCommands(commands));
}
