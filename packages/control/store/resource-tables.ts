/** Groups, clusters, databases, shards, instances. */
import type {
  ClusterRecord,
  DatabaseRecord,
  GroupRecord,
  InstanceRecord,
  ShardRecord,
} from './records.ts';
import { Tables } from './tables.ts';

export class ResourceTables extends Tables {
  groups(): GroupRecord[] {
    return this.all('SELECT body FROM groups ORDER BY name');
  }

  group(name: string): GroupRecord | null {
    return this.one('SELECT body FROM groups WHERE name = $name', { name: name.toLowerCase() });
  }

  putGroup(group: GroupRecord): void {
    this.run(
      'INSERT INTO groups VALUES ($name, $body) ON CONFLICT (name) DO UPDATE SET body = excluded.body',
      { name: group.name.toLowerCase(), body: JSON.stringify(group) },
    );
  }

  removeGroup(name: string): void {
    this.run('DELETE FROM groups WHERE name = $name', { name: name.toLowerCase() });
  }

  clusters(group?: string): ClusterRecord[] {
    return group === undefined
      ? this.all('SELECT body FROM clusters ORDER BY name')
      : this.all('SELECT body FROM clusters WHERE group_name = $group ORDER BY name', {
          group: group.toLowerCase(),
        });
  }

  cluster(group: string, name: string): ClusterRecord | null {
    return this.one('SELECT body FROM clusters WHERE group_name = $group AND name = $name', {
      group: group.toLowerCase(),
      name: name.toLowerCase(),
    });
  }

  clusterById(id: string): ClusterRecord | null {
    return this.one('SELECT body FROM clusters WHERE id = $id', { id });
  }

  putCluster(cluster: ClusterRecord): void {
    this.run(
      `INSERT INTO clusters VALUES ($id, $group, $name, $body)
       ON CONFLICT (id) DO UPDATE SET body = excluded.body`,
      {
        id: cluster.id,
        group: cluster.group.toLowerCase(),
        name: cluster.name.toLowerCase(),
        body: JSON.stringify(cluster),
      },
    );
  }

  removeCluster(id: string): void {
    this.run('DELETE FROM clusters WHERE id = $id', { id });
  }

  databases(clusterId?: string): DatabaseRecord[] {
    return clusterId === undefined
      ? this.all('SELECT body FROM databases ORDER BY id')
      : this.all('SELECT body FROM databases WHERE cluster_id = $clusterId', { clusterId });
  }

  databaseById(id: string): DatabaseRecord | null {
    return this.one('SELECT body FROM databases WHERE id = $id', { id });
  }

  putDatabase(database: DatabaseRecord): void {
    this.run(
      `INSERT INTO databases VALUES ($id, $clusterId, $body)
       ON CONFLICT (id) DO UPDATE SET body = excluded.body`,
      { id: database.id, clusterId: database.clusterId, body: JSON.stringify(database) },
    );
  }

  /** Removes the database with its shards, instances, secrets and ports. */
  removeDatabase(id: string): void {
    this.run('DELETE FROM shards WHERE database_id = $id', { id });
    this.run('DELETE FROM instances WHERE database_id = $id', { id });
    this.run('DELETE FROM databases WHERE id = $id', { id });
    this.run(`DELETE FROM secrets WHERE owner = $id OR owner LIKE $id || '/%'`, { id });
    this.run(`DELETE FROM ports WHERE owner = $id OR owner LIKE $id || '/%'`, { id });
  }

  shards(databaseId: string): ShardRecord[] {
    return this.all('SELECT body FROM shards WHERE database_id = $databaseId ORDER BY idx', {
      databaseId,
    });
  }

  shard(databaseId: string, index: number): ShardRecord | null {
    return this.one('SELECT body FROM shards WHERE database_id = $databaseId AND idx = $index', {
      databaseId,
      index,
    });
  }

  putShard(shard: ShardRecord): void {
    this.run(
      `INSERT INTO shards VALUES ($databaseId, $index, $body)
       ON CONFLICT (database_id, idx) DO UPDATE SET body = excluded.body`,
      { databaseId: shard.databaseId, index: shard.index, body: JSON.stringify(shard) },
    );
  }

  removeShard(databaseId: string, index: number): void {
    this.run('DELETE FROM shards WHERE database_id = $databaseId AND idx = $index', {
      databaseId,
      index,
    });
  }

  instances(databaseId: string): InstanceRecord[] {
    return this.all('SELECT body FROM instances WHERE database_id = $databaseId ORDER BY id', {
      databaseId,
    });
  }

  instance(id: string): InstanceRecord | null {
    return this.one('SELECT body FROM instances WHERE id = $id', { id });
  }

  putInstance(instance: InstanceRecord): void {
    this.run(
      `INSERT INTO instances VALUES ($id, $databaseId, $body)
       ON CONFLICT (id) DO UPDATE SET body = excluded.body`,
      { id: instance.id, databaseId: instance.databaseId, body: JSON.stringify(instance) },
    );
  }

  removeInstance(id: string): void {
    this.run('DELETE FROM instances WHERE id = $id', { id });
  }
}
