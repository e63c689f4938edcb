-- One row per lane. It is the lock that gives positions: whoever has updated it appends, all others
-- wait, so the order of positions is the order of commits and there are no gaps.
CREATE TABLE event_lanes (
    lane        smallint    PRIMARY KEY,
    head        bigint      NOT NULL CHECK (head >= 0),
    recorded_at timestamptz NOT NULL
) WITH (fillfactor = 50);

INSERT INTO event_lanes (lane, head, recorded_at) VALUES (0, 0, to_timestamp(0));

-- The events, append only.
--
-- The lane decides about versions and ids; the unique constraints are belt and braces, and nothing
-- refers to them by ON CONFLICT or by a foreign key. recorded_at never decreases along the
-- positions, so a month is one run of positions: the table can be cut into monthly partitions by
-- (lane, position) without another primary key, the other two constraints becoming one per partition.
--
-- data and metadata are json, not jsonb: the text is kept byte for byte, so that a retry can be
-- compared and a hash chain per tenant can be computed over what was really written.
--
-- Collation "C": an index must not change its order when the machine's locale library does.
CREATE TABLE events (
    lane           smallint         NOT NULL,
    position       bigint           NOT NULL CHECK (position > 0),
    event_id       uuid             NOT NULL,
    tenant         text COLLATE "C" NOT NULL,
    stream_type    text COLLATE "C" NOT NULL,
    stream_id      text COLLATE "C" NOT NULL,
    stream_version bigint           NOT NULL CHECK (stream_version > 0),
    event_type     text COLLATE "C" NOT NULL,
    schema_version bigint           NOT NULL,
    recorded_at    timestamptz      NOT NULL,
    data           json             NOT NULL,
    metadata       json             NOT NULL,
    CONSTRAINT events_position PRIMARY KEY (lane, position),
    CONSTRAINT events_event_id UNIQUE (event_id),
    CONSTRAINT events_stream UNIQUE (tenant, stream_type, stream_id, stream_version)
);
