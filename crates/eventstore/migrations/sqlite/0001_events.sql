-- The same tables as on PostgreSQL; see there for the why. event_id is hyphenated lower-case text,
-- recorded_at counts microseconds since 1970 (UTC), data and metadata are JSON text as written.
CREATE TABLE event_lanes (
    lane        INTEGER PRIMARY KEY,
    head        INTEGER NOT NULL CHECK (head >= 0),
    recorded_at INTEGER NOT NULL
) STRICT;

INSERT INTO event_lanes (lane, head, recorded_at) VALUES (0, 0, 0);

CREATE TABLE events (
    lane           INTEGER NOT NULL,
    position       INTEGER NOT NULL CHECK (position > 0),
    event_id       TEXT    NOT NULL UNIQUE,
    tenant         TEXT    NOT NULL,
    stream_type    TEXT    NOT NULL,
    stream_id      TEXT    NOT NULL,
    stream_version INTEGER NOT NULL CHECK (stream_version > 0),
    event_type     TEXT    NOT NULL,
    schema_version INTEGER NOT NULL,
    recorded_at    INTEGER NOT NULL,
    data           TEXT    NOT NULL,
    metadata       TEXT    NOT NULL,
    PRIMARY KEY (lane, position),
    UNIQUE (tenant, stream_type, stream_id, stream_version)
) STRICT;
