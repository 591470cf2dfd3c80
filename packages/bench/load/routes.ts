/** Which lane carries a request: in turn on a single server, by slot on a cluster. */
import { DISCOVERY_MS } from '../limits.ts';
import { Asker, type Target } from './asker.ts';
import { Lane, type LaneOwner } from './lane.ts';
import { slotMap } from './slots.ts';
import { nodeTarget } from './verify.ts';

export interface Routes {
  readonly lanes: readonly Lane[];
  /** By turn, for what has no key. */
  any(): Lane;
  forSlot(slot: number, spread: number): Lane;
  /** Learns from a MOVED or ASK: the lane at that address. */
  redirected(slot: number, address: string, permanent: boolean): Lane;
}

export class SingleRoutes implements Routes {
  readonly lanes: Lane[];
  private turn = 0;

  /** `find`: where to connect next, for lanes that lost their connection; absent: where they were. */
  constructor(
    targets: readonly Target[],
    connections: number,
    protocol: 2 | 3,
    owner: LaneOwner,
    find: (() => Promise<Target>) | null = null,
  ) {
    this.lanes = Array.from({ length: connections }, (_, i) => {
      const target = targets[i % targets.length];
      if (target === undefined) throw new Error('a load needs at least one target');
      return new Lane(target, protocol, owner, find);
    });
  }

  any(): Lane {
    this.turn = (this.turn + 1) % this.lanes.length;
    return laneAt(this.lanes, this.turn);
  }

  forSlot(_slot: number, spread: number): Lane {
    return laneAt(this.lanes, spread % this.lanes.length);
  }

  redirected(): Lane {
    throw new Error('this server answers MOVED: it is a cluster, and the load must know it');
  }
}

export class ClusterRoutes implements Routes {
  readonly lanes: Lane[] = [];
  private readonly seed: Target;
  private readonly map: string[];
  private readonly byNode = new Map<string, Lane[]>();
  private discovery: NodeJS.Timeout | null = null;
  private readonly perNode: number;
  private readonly protocol: 2 | 3;
  private readonly owner: LaneOwner;
  private turn = 0;

  private constructor(
    seed: Target,
    map: string[],
    connections: number,
    protocol: 2 | 3,
    owner: LaneOwner,
  ) {
    this.seed = seed;
    this.map = map;
    this.protocol = protocol;
    this.owner = owner;
    const nodes = [...new Set(map)].filter((address) => address !== '');
    this.perNode = Math.max(1, Math.ceil(connections / Math.max(1, nodes.length)));
    for (const address of nodes) this.lanesOf(address);
  }

  static async open(
    seed: Target,
    connections: number,
    protocol: 2 | 3,
    owner: LaneOwner,
  ): Promise<ClusterRoutes> {
    const asker = await Asker.open(seed);
    try {
      const map = slotMap(await asker.ask('CLUSTER', 'SLOTS'), seed.host ?? '127.0.0.1');
      return new ClusterRoutes(seed, map, connections, protocol, owner);
    } finally {
      asker.close();
    }
  }

  any(): Lane {
    this.turn = (this.turn + 1) % this.lanes.length;
    return laneAt(this.lanes, this.turn);
  }

  forSlot(slot: number, spread: number): Lane {
    const address = this.map[slot];
    // A slot that nobody served at the start: any node knows where it is by now.
    if (address === undefined || address === '') return this.any();
    const lanes = this.lanesOf(address);
    return laneAt(lanes, spread % lanes.length);
  }

  redirected(slot: number, address: string, permanent: boolean): Lane {
    if (permanent) this.map[slot] = address;
    return laneAt(this.lanesOf(address), slot % this.perNode);
  }

  /**
   * A node is away: the others are asked who owns its slots until it is back or somebody does. What
   * had not been sent to it goes to the new owner.
   */
  private nodeLost(address: string): void {
    if (this.map.every((each) => each !== address)) {
      // It owns nothing any more: anybody who does says where the rest of it belongs.
      const heir = this.map.find((each) => each !== '');
      if (heir !== undefined) this.bequeath(address, heir);
      return;
    }
    if (this.discovery !== null) return;
    this.discovery = setTimeout(() => {
      this.discovery = null;
      void this.discover(address);
    }, DISCOVERY_MS);
  }

  private async discover(lost: string): Promise<void> {
    const others = [...this.byNode.keys()].filter((address) => address !== lost);
    const maps = others.map(async (address) => {
      const asker = await Asker.open(nodeTarget(this.seed, address));
      const map = slotMap(await asker.ask('CLUSTER', 'SLOTS'), '127.0.0.1').map(
        (owner, slot) => (owner === '' ? this.map[slot] : owner) ?? '',
      );
      asker.close();
      if (map.includes(lost)) throw new Error('nobody took over yet');
      return map;
    });
    const map = await Promise.any(maps).catch(() => null);
    if (map === null) {
      if (this.lanesOf(lost).every((lane) => !lane.ready)) this.nodeLost(lost);
      return;
    }
    const slot = this.map.indexOf(lost);
    for (const [i, owner] of map.entries()) this.map[i] = owner;
    this.bequeath(lost, this.map[slot] ?? '');
  }

  /** What had not been sent to a node goes to another. */
  private bequeath(lost: string, to: string): void {
    const heirs = this.lanesOf(to);
    for (const [i, lane] of this.lanesOf(lost).entries()) {
      const heir = laneAt(heirs, i);
      for (const { operation, subject, number, intended, redirects } of lane.takeUnsent()) {
        heir.enqueue(operation, subject, number, intended, redirects);
      }
      heir.flush();
    }
  }

  private lanesOf(address: string): Lane[] {
    let lanes = this.byNode.get(address);
    if (lanes === undefined) {
      const target = nodeTarget(this.seed, address);
      lanes = Array.from(
        { length: this.perNode },
        () => new Lane(target, this.protocol, this.owner),
      );
      for (const lane of lanes) lane.onLost = () => this.nodeLost(address);
      this.byNode.set(address, lanes);
      this.lanes.push(...lanes);
    }
    return lanes;
  }
}

function laneAt(lanes: readonly Lane[], index: number): Lane {
  const lane = lanes[index];
  if (lane === undefined) throw new Error('no connection to choose from');
  return lane;
}
