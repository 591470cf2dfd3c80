/** State of a connection that all lanes must share: the database, the login, the name. */
import type { Lane } from './lane.ts';
import type { Placeable } from './placeable.ts';

export class Everywhere {
  /** The last command of each kind, for lanes that open later. */
  readonly #commands = new Map<string, readonly (string | Buffer)[]>();

  remember(args: readonly (string | Buffer)[]): void {
    const name = String(args[0]).toLowerCase();
    // CLIENT SETNAME and CLIENT NO-EVICT are two things.
    this.#commands.set(name === 'client' ? `${name} ${String(args[1]).toLowerCase()}` : name, args);
  }

  replay(lane: Lane): void {
    for (const args of this.#commands.values()) send(lane, args);
  }

  /** Sends it on all lanes but `first`, which is answered: its reply is the caller's. */
  spread(item: Placeable, lanes: ReadonlySet<Lane>, first: Lane): Lane {
    for (const call of item.calls) {
      const args = [call.name, ...call.args.slice(call.from).map(asArgument)];
      this.remember(args);
      for (const lane of lanes) if (lane !== first && lane.state === 'ready') send(lane, args);
    }
    return first;
  }
}

function send(lane: Lane, args: readonly (string | Buffer)[]): void {
  // A lane that refuses it says so by the errors of the commands that follow.
  lane.client?.command(args).catch(() => {});
}

function asArgument(value: unknown): string | Buffer {
  return value instanceof Uint8Array ? Buffer.from(value) : String(value);
}
