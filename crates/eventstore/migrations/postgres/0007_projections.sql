-- What every replica agrees on about a projection. The row is the lock of its generations: a batch
-- holds it shared, a swap alone. Queries are answered from the active generation; hold_until asks
-- the active one to wait for the swap (microseconds since 1970, as all times here).
CREATE TABLE projections (
    projection  text COLLATE "C" PRIMARY KEY,
    mode        text COLLATE "C" NOT NULL CHECK (mode IN ('async', 'inline')),
    active      bigint           NOT NULL,
    building    bigint,
    paused      boolean          NOT NULL,
    cache_epoch bigint           NOT NULL,
    hold_until  bigint           NOT NULL
) WITH (fillfactor = 50);

-- The documents of one version of a projection, built from the first event on. Numbers are never
-- used twice, so that whoever writes to a generation that is gone, hits nothing.
CREATE TABLE projection_generations (
    generation     bigint           GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    projection     text COLLATE "C" NOT NULL,
    version        bigint           NOT NULL,
    partitions     bigint           NOT NULL CHECK (partitions > 0),
    partitioned_by text COLLATE "C" NOT NULL CHECK (partitioned_by IN ('tenant', 'key')),
    state          text COLLATE "C" NOT NULL CHECK (state IN ('active', 'building', 'dropped')),
    created_at     bigint           NOT NULL
);
CREATE INDEX projection_generations_projection ON projection_generations (projection, state);

-- How far a partition is: moved in the transaction that writes its documents. epoch is the fence of
-- the lease: it grows with every new owner, and a batch of an older one finds it changed.
CREATE TABLE projection_checkpoints (
    generation      bigint NOT NULL,
    partition       bigint NOT NULL,
    position        bigint NOT NULL CHECK (position >= 0),
    documents       bigint NOT NULL,
    rate            bigint NOT NULL,
    written_at      bigint NOT NULL,
    epoch           bigint NOT NULL,
    owner           text COLLATE "C",
    lease_until     bigint NOT NULL,
    failed_position bigint,
    failure         text COLLATE "C",
    failed_at       bigint,
    PRIMARY KEY (generation, partition)
) WITH (fillfactor = 50);

-- The documents. position is that of the last event applied, data its JSON text.
CREATE TABLE projection_documents (
    generation bigint           NOT NULL,
    tenant     text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    position   bigint           NOT NULL,
    data       text COLLATE "C" NOT NULL,
    PRIMARY KEY (generation, tenant, key)
) WITH (fillfactor = 80);
