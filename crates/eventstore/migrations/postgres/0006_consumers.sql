-- Durable subscriptions: what they are called, into how many partitions their streams are divided.
CREATE TABLE event_subscriptions (
    subscription text COLLATE "C" PRIMARY KEY,
    partitions   bigint  NOT NULL CHECK (partitions > 0),
    paused       boolean NOT NULL
);

-- Everything of a partition up to position is handled, a dead letter, or left out by the filter.
-- Whoever writes here or beside it takes the row first, by owner and epoch: the epoch grows with every
-- owner, so that a former one is recognised whatever its clock says. A lease that was given in the
-- future (leased_at) is from before the clock was set back, and void.
CREATE TABLE event_subscription_partitions (
    subscription text COLLATE "C" NOT NULL,
    partition    bigint           NOT NULL,
    position     bigint           NOT NULL,
    moved_at     bigint,
    owner        text COLLATE "C",
    epoch        bigint           NOT NULL,
    leased_at    bigint           NOT NULL,
    lease_until  bigint           NOT NULL,
    PRIMARY KEY (subscription, partition)
) WITH (fillfactor = 50);

-- Consumers that are alive, for a fair share of the partitions.
CREATE TABLE event_subscription_members (
    subscription text COLLATE "C" NOT NULL,
    member       text COLLATE "C" NOT NULL,
    seen_at      bigint           NOT NULL,
    seen_until   bigint           NOT NULL,
    PRIMARY KEY (subscription, member)
) WITH (fillfactor = 50);

-- Events that a handler could not handle. claim: who replays it just now, and until when that counts.
CREATE TABLE event_dead_letters (
    subscription    text COLLATE "C" NOT NULL,
    position        bigint           NOT NULL,
    partition       bigint           NOT NULL,
    tenant          text COLLATE "C" NOT NULL,
    stream_type     text COLLATE "C" NOT NULL,
    stream_id       text COLLATE "C" NOT NULL,
    event_id        text COLLATE "C" NOT NULL,
    event_type      text COLLATE "C" NOT NULL,
    error           text             NOT NULL,
    attempts        bigint           NOT NULL,
    first_failed_at bigint           NOT NULL,
    last_failed_at  bigint           NOT NULL,
    claim           text COLLATE "C",
    claimed_at      bigint           NOT NULL,
    claimed_until   bigint           NOT NULL,
    PRIMARY KEY (subscription, position)
);

CREATE INDEX event_dead_letters_tenant ON event_dead_letters (tenant, subscription, position);
