-- See the same file for PostgreSQL.
CREATE TABLE projections (
    projection  TEXT    NOT NULL PRIMARY KEY,
    mode        TEXT    NOT NULL CHECK (mode IN ('async', 'inline')),
    active      INTEGER NOT NULL,
    building    INTEGER,
    paused      INTEGER NOT NULL,
    cache_epoch INTEGER NOT NULL,
    hold_until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE projection_generations (
    generation     INTEGER PRIMARY KEY AUTOINCREMENT,
    projection     TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    partitions     INTEGER NOT NULL CHECK (partitions > 0),
    partitioned_by TEXT    NOT NULL CHECK (partitioned_by IN ('tenant', 'key')),
    state          TEXT    NOT NULL CHECK (state IN ('active', 'building', 'dropped')),
    created_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX projection_generations_projection ON projection_generations (projection, state);

CREATE TABLE projection_checkpoints (
    generation      INTEGER NOT NULL,
    partition       INTEGER NOT NULL,
    position        INTEGER NOT NULL CHECK (position >= 0),
    documents       INTEGER NOT NULL,
    rate            INTEGER NOT NULL,
    written_at      INTEGER NOT NULL,
    epoch           INTEGER NOT NULL,
    owner           TEXT,
    lease_until     INTEGER NOT NULL,
    failed_position INTEGER,
    failure         TEXT,
    failed_at       INTEGER,
    PRIMARY KEY (generation, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE projection_documents (
    generation INTEGER NOT NULL,
    tenant     TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    position   INTEGER NOT NULL,
    data       TEXT    NOT NULL,
    PRIMARY KEY (generation, tenant, key)
) STRICT, WITHOUT ROWID;
