/**
 * What workers of one endpoint say to each other. What a client can see, or is limited by, belongs to
 * its database and not to the worker that it happened to reach; so a worker asks the others (CLIENT
 * LIST, who listens to a channel) and tells them (a failed login, the body of a script).
 *
 * Each worker has a socket for the others and a connection to each of theirs; the supervisor only says
 * who there is. So nothing goes through a hub that could be the bottleneck or be dead, and when the
 * supervisor is away the last list still holds.
 *
 * A neighbour that does not answer in time, or is too far behind, is *mute*: the answer is made of
 * what the others said, and an event `peer-mute` names it. Nobody waits longer for a neighbour than
 * PEER_ANSWER_MS, and the data path does not wait for one at all, but for the end of a planned switch
 * (`proxy/listeners-first.ts`).
 */

/** Version of the frames below and of what travels in them; another one is not spoken to. */
export const NEIGHBOUR_PROTOCOL = 1;

/** Beside a worker's control socket, in the same folder. */
export function neighbourSocket(controlSocket: string): string {
  return controlSocket.replace(/w(\d+-\d+\.sock)$/, 'n$1');
}

export interface NeighbourInfo {
  readonly pid: number;
  /** Path of the socket it listens on for others. */
  readonly socket: string;
}

export interface Answers {
  /** One of each neighbour that answered. */
  readonly answers: readonly unknown[];
  /** How many did not. */
  readonly mute: number;
}

/** What a data path can do with its neighbours. Questions and notices are plain data (JSON). */
export interface Neighbours {
  /** Workers besides this one, draining ones included: they have clients. */
  readonly count: number;
  ask(database: string, question: object): Promise<Answers>;
  /** To all, or to one by its pid. False: somebody is too far behind and did not get it. */
  tell(database: string, notice: object, to?: number): boolean;
}

/** Where there is only one worker. */
export const ALONE: Neighbours = {
  count: 0,
  ask: () => Promise.resolve({ answers: [], mute: 0 }),
  tell: () => true,
};

/** What a worker does with what neighbours send. */
export interface NeighbourListener {
  asked(database: string, question: object): unknown;
  told(database: string, notice: object, from: number): void;
  /** A neighbour can be talked to from now on; `eldest`: we are the one that brings it up to date. */
  joined(pid: number, eldest: boolean): void;
  left(pid: number): void;
  mute(pid: number, detail: string): void;
}
