-- Private signing keys, each sealed by the master key. The public parts are events.
CREATE TABLE central_signing_keys (
    tenant        TEXT NOT NULL,
    kid           TEXT NOT NULL,
    algorithm     TEXT NOT NULL,
    master_key_id TEXT NOT NULL,
    sealed        BYTEA NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, kid, algorithm)
);
