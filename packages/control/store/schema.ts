/**
 * The store's schema, as the list of steps that led to it. A step is never changed once released:
 * a new one is added. The number of steps is the schema version (`PRAGMA user_version`).
 *
 * Records are kept as JSON documents beside the few columns that queries need: one shape, the one
 * of `records.ts`, and no second mapping to keep in step with it.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE groups (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE clusters (
    id TEXT PRIMARY KEY, group_name TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
    UNIQUE (group_name, name)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE databases (
    id TEXT PRIMARY KEY, cluster_id TEXT NOT NULL REFERENCES clusters (id), body TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX databases_by_cluster ON databases (cluster_id);
  CREATE TABLE shards (
    database_id TEXT NOT NULL REFERENCES databases (id), idx INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (database_id, idx)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE instances (
    id TEXT PRIMARY KEY, database_id TEXT NOT NULL REFERENCES databases (id), body TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX instances_by_database ON instances (database_id);
  CREATE TABLE operations (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, cluster_id TEXT, database_id TEXT,
    open INTEGER NOT NULL, body TEXT NOT NULL
  ) STRICT;
  CREATE INDEX operations_open ON operations (open) WHERE open = 1;
  CREATE INDEX operations_by_cluster ON operations (cluster_id, seq);
  CREATE TABLE events (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, cluster_id TEXT, body TEXT NOT NULL
  ) STRICT;
  CREATE INDEX events_by_cluster ON events (cluster_id, id);
  CREATE TABLE audit (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
  CREATE TABLE secrets (owner TEXT PRIMARY KEY, sealed TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE ports (
    port INTEGER PRIMARY KEY, owner TEXT NOT NULL, purpose TEXT NOT NULL
  ) STRICT;
  CREATE INDEX ports_by_owner ON ports (owner);
  `,
  // Shards got a place for the user's word that a copy may serve which is not provably the last.
  `UPDATE shards SET body = json_set(body, '$.lossAccepted', json('null'));`,
  // Databases got rules for expensive commands: none, for those that were there.
  `UPDATE databases SET body = json_set(body, '$.settings.guard', json('[]'))
   WHERE json_type(body, '$.settings') = 'object';`,
  // Shards come and go, and slots travel between them.
  `UPDATE shards SET body = json_set(body, '$.membership', 'member');
   UPDATE databases SET body = json_set(body, '$.scaling', json('null'));`,
  // Shards got a place for the wish that a replica takes over from a living primary.
  `UPDATE shards SET body = json_set(body, '$.handover', json('null'));`,
  // Databases got a place for the engine settings that clients choose.
  `UPDATE databases SET body = json_set(body, '$.config', json('{}'));`,
  // Engines got a port without TLS, where clients of shards want one.
  `UPDATE instances SET body = json_set(body, '$.plainPort', 0);`,
  // Databases got a place for the maintenance under way.
  `UPDATE databases SET body = json_set(body, '$.maintenance', json('null'));`,
  // Shards got a memory of having lost their data; until then their reason was all that told it.
  `UPDATE shards SET body = json_set(body, '$.dataLost', CASE
     WHEN json_extract(body, '$.reason.code') = 'started-empty'
     THEN json_object('at', json_extract(body, '$.decidedAt'), 'message', json_extract(body, '$.reason.message'))
     ELSE json('null') END);`,
  // Databases got a memory of the engine before, and of how long the way back to it is open.
  `UPDATE databases SET body = json_set(body, '$.upgrade', json('null'));`,
  // Steps that had not begun said that they run, since 1970.
  `UPDATE operations SET body = json_set(body, '$.steps', (
     SELECT json_group_array(json(CASE
       WHEN json_extract(value, '$.startedAt') <> 0 THEN value
       WHEN json_extract(value, '$.state') = 'done'
       THEN json_set(value, '$.startedAt', json_extract(value, '$.endedAt'))
       ELSE json_set(value, '$.startedAt', json('null'), '$.endedAt', json('null'), '$.state', 'waiting')
     END)) FROM json_each(body, '$.steps')))
   WHERE json_type(body, '$.steps') = 'array';`,
];
