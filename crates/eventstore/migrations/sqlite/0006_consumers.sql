-- See the same file for PostgreSQL.
CREATE TABLE event_subscriptions (
    subscription TEXT    NOT NULL PRIMARY KEY,
    partitions   INTEGER NOT NULL CHECK (partitions > 0),
    paused       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE event_subscription_partitions (
    subscription TEXT    NOT NULL,
    partition    INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    moved_at     INTEGER,
    owner        TEXT,
    epoch        INTEGER NOT NULL,
    leased_at    INTEGER NOT NULL,
    lease_until  INTEGER NOT NULL,
    PRIMARY KEY (subscription, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_subscription_members (
    subscription TEXT    NOT NULL,
    member       TEXT    NOT NULL,
    seen_at      INTEGER NOT NULL,
    seen_until   INTEGER NOT NULL,
    PRIMARY KEY (subscription, member)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_dead_letters (
    subscription    TEXT    NOT NULL,
    position        INTEGER NOT NULL,
    partition       INTEGER NOT NULL,
    tenant          TEXT    NOT NULL,
    stream_type     TEXT    NOT NULL,
    stream_id       TEXT    NOT NULL,
    event_id        TEXT    NOT NULL,
    event_type      TEXT    NOT NULL,
    error           TEXT    NOT NULL,
    attempts        INTEGER NOT NULL,
    first_failed_at INTEGER NOT NULL,
    last_failed_at  INTEGER NOT NULL,
    claim           TEXT,
    claimed_at      INTEGER NOT NULL,
    claimed_until   INTEGER NOT NULL,
    PRIMARY KEY (subscription, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX event_dead_letters_tenant ON event_dead_letters (tenant, subscription, position);
