-- States of aggregates at a version of their stream, to start from instead of from the first event.
-- They can be deleted at any time. format tells what was done to data: json, json+zstd, and with
-- +aes256gcm behind it; key_id names the key of the latter. checksum is SHA-256 over data.
-- taken_at counts microseconds since 1970 (UTC), as all times do in the tables after the first two.
CREATE TABLE event_snapshots (
    tenant         text COLLATE "C" NOT NULL,
    stream_type    text COLLATE "C" NOT NULL,
    stream_id      text COLLATE "C" NOT NULL,
    stream_version bigint           NOT NULL CHECK (stream_version > 0),
    schema_version bigint           NOT NULL,
    format         text COLLATE "C" NOT NULL,
    key_id         text COLLATE "C",
    data           bytea            NOT NULL,
    checksum       bytea            NOT NULL,
    taken_at       bigint           NOT NULL,
    PRIMARY KEY (tenant, stream_type, stream_id, stream_version)
);
