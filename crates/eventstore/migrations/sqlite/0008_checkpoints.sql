-- See the same file for PostgreSQL.
CREATE TABLE event_checkpoints (
    tenant          TEXT    NOT NULL,
    tenant_sequence INTEGER NOT NULL CHECK (tenant_sequence > 0),
    position        INTEGER NOT NULL CHECK (position > 0),
    hash            BLOB    NOT NULL,
    store_id        TEXT    NOT NULL,
    signed_at       INTEGER NOT NULL,
    key_id          TEXT    NOT NULL,
    algorithm       TEXT    NOT NULL,
    signature       BLOB    NOT NULL,
    PRIMARY KEY (tenant, tenant_sequence)
) STRICT, WITHOUT ROWID;

CREATE INDEX event_checkpoints_position ON event_checkpoints (position, tenant, tenant_sequence);
CREATE INDEX event_checkpoints_tenant ON event_checkpoints (tenant, position, tenant_sequence);
