/** Which lane carries a request: in turn on a single server, by slot on a cluster. */
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

  constructor(targets: readonly Target[], connections: number, protocol: 2 | 3, owner: LaneOwner) {
    this.lanes = Array.from({ length: connections }, (_, i) => {
      const target = targets[i % targets.length];
      if (target === undefined) throw new Error('a load needs at least one target');
      return new Lane(target, protocol, owner);
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

  private lanesOf(address: string): Lane[] {
    let lanes = this.byNode.get(address);
    if (lanes === undefined) {
      const target = nodeTarget(this.seed, address);
      lanes = Array.from(
        { length: this.perNode },
        () => new Lane(target, this.protocol, this.owner),
      );
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
