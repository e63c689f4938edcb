-- See the same file for PostgreSQL. store_id is hyphenated lower-case text, made from 16 random bytes
-- as a UUID of version 4.
CREATE TABLE event_store (
    singleton INTEGER PRIMARY KEY DEFAULT 1 CHECK (singleton = 1),
    store_id  TEXT    NOT NULL,
    chained   INTEGER NOT NULL
) STRICT;

INSERT INTO event_store (store_id, chained)
SELECT lower(
        substr(raw, 1, 8) || '-' || substr(raw, 9, 4) || '-4' || substr(raw, 14, 3) || '-'
        || substr('89ab', 1 + abs(random() % 4), 1) || substr(raw, 18, 3) || '-'
        || substr(raw, 21, 12)
    ),
    0
FROM (SELECT hex(randomblob(16)) AS raw);

ALTER TABLE events ADD COLUMN tenant_sequence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN hash BLOB NOT NULL DEFAULT x'';

CREATE INDEX events_tenant ON events (tenant, position);
CREATE INDEX events_type ON events (tenant, event_type, position);
CREATE INDEX events_correlation ON events (metadata ->> 'correlation_id', position)
    WHERE (metadata ->> 'correlation_id') IS NOT NULL;
