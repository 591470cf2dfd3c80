/** INFO and CLUSTER NODES as typed facts. Pure; tolerant of fields that come and go between versions. */
import { productOf } from './capabilities.ts';
import type { ClusterFacts, EngineFacts, SlotRange, StreamFacts } from './contract.ts';
import { EngineError } from './errors.ts';

export type Info = Pick<ReadonlyMap<string, string>, 'get'>;

/**
 * An INFO text as it came. Of its 150 fields facts want a dozen, of every engine all day: taking all
 * of them apart was most of what an idle control process had to clean up.
 */
class InfoText implements Info {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  get(name: string): string | undefined {
    const text = this.#text;
    const line = text.indexOf(`\n${name}:`);
    if (line === -1 && !text.startsWith(`${name}:`)) return undefined;
    const from = (line === -1 ? 0 : line + 1) + name.length + 1;
    const end = text.indexOf('\n', from);
    const value = end === -1 ? text.slice(from) : text.slice(from, end);
    return value.endsWith('\r') ? value.slice(0, -1) : value;
  }
}

/** `name:value` lines; headers and blank lines are skipped. The last one of a name counts. */
export function parseInfo(text: string): ReadonlyMap<string, string> {
  const info = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0 && !line.startsWith('#')) info.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return info;
}

/** `cluster`: the texts of CLUSTER INFO and CLUSTER NODES, null outside of cluster mode. */
export function factsFrom(
  infoText: string,
  cluster: { readonly info: string; readonly nodes: string } | null,
): EngineFacts {
  const info = new InfoText(infoText);
  const stream = streamOf(info);
  const replica = stream.role === 'replica';
  const product = productOf(infoText);
  return {
    ...stream,
    loading: info.get('loading') !== undefined && info.get('loading') !== '0',
    primaryHost: replica ? (info.get('master_host') ?? '') : '',
    followers: replica ? [] : followersOf(info),
    cluster: cluster === null ? null : clusterFacts(cluster.info, cluster.nodes),
    keys: keysOf(infoText),
    loadedKeys: integer(info, 'rdb_last_load_keys_loaded'),
    usedMemoryBytes: integer(info, 'used_memory'),
    idleMemoryBytes:
      integer(info, 'used_memory_startup') + integer(info, 'mem_replication_backlog'),
    version: `${product.name} ${product.version}`,
  };
}

/** From INFO replication alone. */
export function streamFrom(infoText: string): StreamFacts {
  return streamOf(new InfoText(infoText));
}

function streamOf(info: Info): StreamFacts {
  const role = info.get('role');
  if (role !== 'master' && role !== 'slave') {
    throw new EngineError('bad-reply', `INFO of the engine names no role (${role ?? 'absent'})`);
  }
  const replica = role === 'slave';
  return {
    role: replica ? 'replica' : 'primary',
    replicationId: info.get('master_replid') ?? '',
    offset: integer(info, 'master_repl_offset'),
    link: !replica || info.get('master_link_status') === 'up' ? 'up' : 'down',
    syncing: replica && info.get('master_sync_in_progress') === '1',
    primaryPort: replica ? integer(info, 'master_port') : 0,
  };
}

function followersOf(info: Info): { port: number; offset: number }[] {
  const found: { port: number; offset: number }[] = [];
  for (let i = 0; ; i++) {
    const value = info.get(`slave${i}`) ?? info.get(`replica${i}`);
    if (value === undefined) return found;
    const fields = commaFields(value);
    if (fields.get('state') !== 'online') continue;
    found.push({
      port: wholeNumber(fields.get('port')),
      offset: wholeNumber(fields.get('offset')),
    });
  }
}

function keysOf(infoText: string): number {
  let keys = 0;
  for (const [, count] of infoText.matchAll(/^db\d+:keys=(\d+)/gm)) keys += wholeNumber(count);
  return keys;
}

function commaFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const part of text.split(',')) {
    const equals = part.indexOf('=');
    if (equals > 0) fields.set(part.slice(0, equals), part.slice(equals + 1));
  }
  return fields;
}

function integer(info: Info, name: string): number {
  return wholeNumber(info.get(name));
}

function wholeNumber(text: string | undefined): number {
  if (text === undefined || !/^-?\d{1,16}$/.test(text)) return 0;
  return Number(text);
}

interface NodeLine {
  readonly id: string;
  readonly flags: ReadonlySet<string>;
  readonly primaryId: string | null;
  readonly epoch: number;
  readonly slots: readonly SlotRange[];
}

export function clusterFacts(infoText: string, nodesText: string): ClusterFacts {
  const info = new InfoText(infoText);
  const nodes = parseNodes(nodesText);
  const myself = nodes.find((node) => node.flags.has('myself'));
  if (myself === undefined) {
    throw new EngineError(
      'bad-reply',
      'CLUSTER NODES of the engine does not name the engine itself',
    );
  }
  return {
    myId: myself.id,
    state: info.get('cluster_state') === 'ok' ? 'ok' : 'fail',
    epoch: integer(info, 'cluster_my_epoch'),
    slots: myself.slots,
    nodes: nodes
      // A node in handshake bears a made-up id until it has answered.
      .filter((node) => !node.flags.has('handshake'))
      .map((node) => ({
        id: node.id,
        primaryId: node.primaryId,
        epoch: node.epoch,
        slots: node.slots,
        failed: node.flags.has('fail'),
      })),
  };
}

/** Lines of CLUSTER NODES: id, address, flags, primary, ping, pong, epoch, link, slots... */
export function parseNodes(text: string): NodeLine[] {
  const nodes: NodeLine[] = [];
  for (const line of text.split('\n')) {
    const fields = line.trim().split(' ');
    const [id = '', , flags, primary, , , epoch, , ...slots] = fields;
    if (!/^[0-9a-f]{40}$/.test(id) || epoch === undefined) continue;
    nodes.push({
      id,
      flags: new Set((flags ?? '').split(',')),
      primaryId: primary === undefined || primary === '-' ? null : primary,
      epoch: wholeNumber(epoch),
      slots: slots.flatMap(slotRange),
    });
  }
  return nodes;
}

/** '5' or '0-8191'; '[5->-id]' and '[5-<-id]' are moves under way and no ownership. */
function slotRange(text: string): SlotRange[] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return [];
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  return first <= last && last < 16384 ? [[first, last]] : [];
}

export interface ClientLine {
  readonly id: string;
  readonly user: string;
  readonly flags: string;
  readonly name: string;
  /** The command that it sent last, lower case. */
  readonly command: string;
}

/** Lines of CLIENT LIST. Names cannot hold blanks or line breaks; the engine refuses those. */
export function parseClients(text: string): ClientLine[] {
  const clients: ClientLine[] = [];
  for (const line of text.split('\n')) {
    const fields = new Map<string, string>();
    for (const part of line.trim().split(' ')) {
      const equals = part.indexOf('=');
      if (equals > 0) fields.set(part.slice(0, equals), part.slice(equals + 1));
    }
    const id = fields.get('id');
    if (id === undefined || !/^\d+$/.test(id)) continue;
    clients.push({
      id,
      user: fields.get('user') ?? '',
      flags: fields.get('flags') ?? '',
      name: fields.get('name') ?? '',
      command: fields.get('cmd') ?? '',
    });
  }
  return clients;
}
