-- Which store this is, so that a cursor or a content version of another one is recognised.
-- chained: whether every event has its hash; events from before this migration get theirs when the
-- store is opened, for SQL alone cannot compute it on every database.
CREATE TABLE event_store (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    store_id  uuid    NOT NULL,
    chained   boolean NOT NULL
);

INSERT INTO event_store (store_id, chained) VALUES (gen_random_uuid(), false);

-- tenant_sequence counts the events of a tenant; hash seals one and all before it (src/chain.rs).
-- The defaults are for events that wait for theirs, and are taken away then.
ALTER TABLE events
    ADD COLUMN tenant_sequence bigint NOT NULL DEFAULT 0,
    ADD COLUMN hash            bytea  NOT NULL DEFAULT '';

-- A tenant's events in order, its last one, and those of one type. Not unique, so that nothing stands
-- in the way of monthly partitions: the lane gives the positions.
CREATE INDEX events_tenant ON events (tenant, position);
CREATE INDEX events_type ON events (tenant, event_type, position);
CREATE INDEX events_correlation ON events ((metadata ->> 'correlation_id'), position)
    WHERE (metadata ->> 'correlation_id') IS NOT NULL;
