/**
 * A prepared nodes.conf: how an engine learns its role and its peers before it starts.
 *
 * The engine trusts this file completely. One that says `myself,master` with slots serves them two
 * seconds after the start, whatever happened meanwhile (engine rule 1); so the file is always
 * written anew, never reused. What is written is the least that 8.0 and 9.1 accept (engine rule
 * 14), and a shard id where the engine knows such a thing.
 *
 * The shard id matters at birth. Without one, each node makes up its own for its own shard, and
 * they agree at the first exchange on the bus. A TAKEOVER that comes earlier (a pair is up within
 * 60 ms) then looks to the old primary like a stranger's shard taking its slots: it does not follow,
 * but stays beside as an empty primary. Seen on 9.1.2. So both are told the same id, made from the
 * primary's. On a later start the peers' gossip corrects it.
 *
 * So does the port without TLS, which a peer announces (`cluster-announce-port`) also where there is none.
 * A peer that announces another one than its line here has "a new address": the engine drops its
 * connection there, and since 9.0 it makes the next one after a twentieth of `cluster-node-timeout`, which
 * is half a minute. Meanwhile it tells that peer nothing of its own accord, such as that it owns slots now.
 */
import { createHash } from 'node:crypto';
import type { ClusterMember } from './contract.ts';
import { EngineError } from './errors.ts';

const ID = /^[0-9a-f]{40}$/;

/**
 * `withShardIds`: for engines that know CLUSTER MYSHARDID; older ones cannot read what follows the address.
 * `hostname`: what all members announce to clients. Without it an engine sends clients to `?` until it has
 * heard from the member itself (seen: a client that looked that name up).
 */
export function nodesConf(
  members: readonly ClusterMember[],
  myself: string,
  withShardIds: boolean,
  hostname: string,
): string {
  check(members, myself);
  const epoch = Math.max(0, ...members.map((member) => member.epoch));
  const lines = members.map((member) => {
    const role = member.primaryId === null ? 'master' : 'slave';
    const flags = member.id === myself ? `myself,${role}` : role;
    const known = [
      `${member.host}:${member.port}@${member.busPort}`,
      hostname,
      `shard-id=${shardId(member.primaryId ?? member.id)}`,
      `tcp-port=${member.plainPort ?? member.port}`,
    ];
    const address = withShardIds ? known.join(',') : known[0];
    const slots = member.slots.map(([first, last]) =>
      first === last ? `${first}` : `${first}-${last}`,
    );
    return [
      member.id,
      address,
      flags,
      member.primaryId ?? '-',
      0,
      0,
      member.epoch,
      'connected',
      ...slots,
    ].join(' ');
  });
  return `${lines.join('\n')}\nvars currentEpoch ${epoch} lastVoteEpoch 0\n`;
}

function shardId(primaryId: string): string {
  return createHash('sha1').update(`shard of ${primaryId}`).digest('hex');
}

/** The epoch that a nodes.conf was written in; null when it holds none. */
export function epochOf(text: string): number | null {
  const match = /^vars currentEpoch (\d+)/m.exec(text);
  return match === null ? null : Number(match[1]);
}

function check(members: readonly ClusterMember[], myself: string): void {
  const byId = new Map(members.map((member) => [member.id, member]));
  const wrong = (why: string): EngineError => new EngineError('bad-members', why);
  if (byId.size !== members.length) throw wrong('two members of the cluster have the same id');
  if (!byId.has(myself))
    throw wrong(`the engine ${myself} is not among the members it should know`);
  const owner = new Map<number, string>();
  for (const member of members) {
    if (!ID.test(member.id)) throw wrong(`${JSON.stringify(member.id)} is not a node id`);
    if (!/^[0-9a-fA-F.:]+$/.test(member.host)) {
      throw wrong(
        `member ${member.id} needs an address, not the name ${JSON.stringify(member.host)}`,
      );
    }
    if (member.primaryId !== null) {
      const primary = byId.get(member.primaryId);
      if (primary === undefined || primary.primaryId !== null) {
        throw wrong(`member ${member.id} follows ${member.primaryId}, which is no primary here`);
      }
      if (member.slots.length > 0) throw wrong(`member ${member.id} follows another and has slots`);
    }
    for (const [first, last] of member.slots) {
      if (!(first >= 0 && first <= last && last < 16384)) {
        throw wrong(`slots ${first}-${last} of member ${member.id} do not exist`);
      }
      for (let slot = first; slot <= last; slot++) {
        if (owner.has(slot)) throw wrong(`slot ${slot} belongs to two members`);
        owner.set(slot, member.id);
      }
    }
  }
}
