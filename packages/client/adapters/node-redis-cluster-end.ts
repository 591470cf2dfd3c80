/**
 * The end of a node-redis cluster client: of all of its connections.
 *
 * The library's own `destroy()` and `close()` end what stands in its tables in that moment. What is under way does
 * not know of it: a connection that is being made is finished and stays open, and a discovery that awaits its answer
 * goes on and makes a client for each node of it, which nobody can reach any more. The process then never ends.
 * Destroying once more, later, finds neither.
 *
 * So each socket of the client is given a signal from the beginning, which Node itself obeys, before it is connected
 * and after; and what connects later is told not to try again. Options are the way to do so, and the library keeps the
 * very object that the application gave it, which may serve for all lanes, and other clients. So before it connects,
 * the tables are made once more, by the library's own class, with options of their own.
 */
import { nodeReconnect } from '../retries/backoff.ts';
import type { NodeClient, NodeCluster } from './node-redis-shape.ts';

interface NodeOfTable {
  readonly client?: NodeClient | undefined;
  readonly pubSub?: { readonly client: NodeClient } | undefined;
}

interface Tables {
  readonly isOpen: boolean;
  readonly masters: readonly NodeOfTable[];
  readonly replicas: readonly NodeOfTable[];
  readonly nodeByAddress: ReadonlyMap<string, NodeOfTable>;
  readonly pubSubNode?: { readonly client: NodeClient } | undefined;
  readonly himportRegistry?: unknown;
}

type Emit = (event: string, ...args: unknown[]) => boolean;
type TablesClass = new (options: ClusterOptions, emit: Emit, id?: unknown) => Tables;

interface SocketOptions {
  reconnectStrategy?: unknown;
  signal?: AbortSignal;
}

interface ClusterOptions {
  readonly defaults?: { readonly socket?: SocketOptions };
}

interface ClusterInside {
  readonly _options: ClusterOptions;
  readonly identity?: { readonly id?: unknown };
  _slots: Tables;
}

export class ClusterEnd {
  readonly #cluster: NodeCluster & ClusterInside;
  readonly #sockets = new AbortController();
  readonly #staggered: boolean;
  #over = false;

  /** `staggered`: its nodes' connections come back with full jitter, unless the application says how. */
  constructor(cluster: NodeCluster, staggered: boolean) {
    this.#cluster = cluster as NodeCluster & ClusterInside;
    this.#staggered = staggered;
    // One that its owner has connected keeps its tables; its end is the library's then.
    if (!this.#cluster._slots.isOpen) this.#giveOptions();
  }

  #giveOptions(): void {
    const cluster = this.#cluster;
    const { _options: given, _slots: tables } = cluster;
    const over = (): boolean => this.#over;
    const { signal } = this.#sockets;
    const ours = this.#staggered ? { reconnectStrategy: nodeReconnect } : {};
    const options = {
      ...given,
      himportRegistry: tables.himportRegistry,
      // By what is written here the library knows that it has made the class for such clients already.
      toJSON: () => given,
      // Asked for each time, because a new login is put there, too.
      get defaults() {
        const { defaults } = given;
        const socket: SocketOptions = { ...ours, ...defaults?.socket, signal };
        if (over()) socket.reconnectStrategy = false;
        return { ...defaults, socket };
      },
    };
    const emit: Emit = (event, ...args) =>
      // That a connection ends which is to end is no error.
      over() && event.endsWith('error') ? false : cluster.emit(event, ...args);
    const TablesAgain = tables.constructor as TablesClass;
    cluster._slots = new TablesAgain(options, emit, cluster.identity?.id);
  }

  /** The clients of its nodes that there are now, those that listen among them. */
  get clients(): ReadonlySet<NodeClient> {
    const { masters, replicas, nodeByAddress, pubSubNode } = this.#cluster._slots;
    const all = new Set<NodeClient>();
    for (const { client, pubSub } of [...masters, ...replicas, ...nodeByAddress.values()]) {
      if (client !== undefined) all.add(client._self);
      if (pubSub !== undefined) all.add(pubSub.client._self);
    }
    if (pubSubNode !== undefined) all.add(pubSubNode.client._self);
    return all;
  }

  /** Gracefully first; whatever is left of it then ends. */
  async close(): Promise<void> {
    const cluster = this.#cluster;
    try {
      if (cluster.isOpen) await Object.getPrototypeOf(cluster).close.call(cluster);
    } finally {
      this.destroy();
    }
  }

  destroy(): void {
    const cluster = this.#cluster;
    this.#over = true;
    for (const client of this.clients) client.destroy();
    Object.getPrototypeOf(cluster).destroy.call(cluster);
    // In a turn of its own: in this one a socket may have connected which nobody listens to yet.
    setImmediate(() => this.#sockets.abort());
  }
}
