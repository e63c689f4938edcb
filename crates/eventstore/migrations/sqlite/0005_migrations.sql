-- See the same file for PostgreSQL.
CREATE TABLE event_shapes (
    event_type     TEXT    NOT NULL,
    stream_type    TEXT    NOT NULL,
    schema_version INTEGER NOT NULL,
    first_position INTEGER NOT NULL,
    PRIMARY KEY (event_type, stream_type, schema_version)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_shapes_through (
    lane    INTEGER PRIMARY KEY,
    through INTEGER NOT NULL
) STRICT;

INSERT INTO event_shapes_through (lane, through) VALUES (0, 0);

CREATE TABLE event_migrations (
    name        TEXT    PRIMARY KEY NOT NULL,
    epoch       INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    begun_at    INTEGER NOT NULL,
    ended_at    INTEGER,
    report      TEXT
) STRICT;

CREATE TABLE event_migration_streams (
    migration      TEXT    NOT NULL,
    tenant         TEXT    NOT NULL,
    stream_type    TEXT    NOT NULL,
    stream_id      TEXT    NOT NULL,
    target_tenant  TEXT    NOT NULL,
    target_type    TEXT    NOT NULL,
    target_id      TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    source_version INTEGER NOT NULL,
    target_version INTEGER NOT NULL,
    epoch          INTEGER NOT NULL,
    failure        TEXT,
    PRIMARY KEY (migration, tenant, stream_type, stream_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX event_migration_targets
    ON event_migration_streams (migration, target_tenant, target_type, target_id);
