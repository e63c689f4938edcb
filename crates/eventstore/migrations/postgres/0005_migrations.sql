-- Which shapes of events there are: what a registry is checked against. Filled by the check itself, which
-- reads on from `through`; events never change, so what it once saw stays true.
CREATE TABLE event_shapes (
    event_type     text COLLATE "C" NOT NULL,
    stream_type    text COLLATE "C" NOT NULL,
    schema_version bigint           NOT NULL,
    first_position bigint           NOT NULL,
    PRIMARY KEY (event_type, stream_type, schema_version)
);

CREATE TABLE event_shapes_through (
    lane    bigint PRIMARY KEY,
    through bigint NOT NULL
);

INSERT INTO event_shapes_through (lane, through) VALUES (0, 0);

-- Migrations of streams. Whoever runs one has its row's epoch; another may take it when lease_until is
-- over, and everything written here names the epoch it is written under. Times count microseconds
-- since 1970 (UTC). report is JSON, of the last run that came to its end.
CREATE TABLE event_migrations (
    name        text COLLATE "C" PRIMARY KEY,
    epoch       bigint NOT NULL,
    lease_until bigint NOT NULL,
    begun_at    bigint NOT NULL,
    ended_at    bigint,
    report      text
);

-- How far each stream is: begun, migrated or failed. The row is there before the first event of the target.
CREATE TABLE event_migration_streams (
    migration      text COLLATE "C" NOT NULL,
    tenant         text COLLATE "C" NOT NULL,
    stream_type    text COLLATE "C" NOT NULL,
    stream_id      text COLLATE "C" NOT NULL,
    target_tenant  text COLLATE "C" NOT NULL,
    target_type    text COLLATE "C" NOT NULL,
    target_id      text COLLATE "C" NOT NULL,
    state          text COLLATE "C" NOT NULL,
    source_version bigint           NOT NULL,
    target_version bigint           NOT NULL,
    epoch          bigint           NOT NULL,
    failure        text,
    PRIMARY KEY (migration, tenant, stream_type, stream_id)
);

CREATE INDEX event_migration_targets
    ON event_migration_streams (migration, target_tenant, target_type, target_id);
