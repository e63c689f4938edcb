-- Signed ends of the tenants' hash chains (src/integrity/). Every column but the signature is signed.
-- signed_at counts microseconds since 1970 (UTC), store_id is hyphenated lower-case text.
CREATE TABLE event_checkpoints (
    tenant          text COLLATE "C" NOT NULL,
    tenant_sequence bigint           NOT NULL CHECK (tenant_sequence > 0),
    position        bigint           NOT NULL CHECK (position > 0),
    hash            bytea            NOT NULL,
    store_id        text COLLATE "C" NOT NULL,
    signed_at       bigint           NOT NULL,
    key_id          text COLLATE "C" NOT NULL,
    algorithm       text COLLATE "C" NOT NULL,
    signature       bytea            NOT NULL,
    PRIMARY KEY (tenant, tenant_sequence)
);

-- A verifier walks along the positions, of a tenant or of all, and meets the checkpoints on its way.
CREATE INDEX event_checkpoints_position ON event_checkpoints (position, tenant, tenant_sequence);
CREATE INDEX event_checkpoints_tenant ON event_checkpoints (tenant, position, tenant_sequence);
