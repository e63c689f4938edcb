-- See the same file for PostgreSQL.
CREATE TABLE event_snapshots (
    tenant         TEXT    NOT NULL,
    stream_type    TEXT    NOT NULL,
    stream_id      TEXT    NOT NULL,
    stream_version INTEGER NOT NULL CHECK (stream_version > 0),
    schema_version INTEGER NOT NULL,
    format         TEXT    NOT NULL,
    key_id         TEXT,
    data           BLOB    NOT NULL,
    checksum       BLOB    NOT NULL,
    taken_at       INTEGER NOT NULL,
    PRIMARY KEY (tenant, stream_type, stream_id, stream_version)
) STRICT, WITHOUT ROWID;
