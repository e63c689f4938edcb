-- Keys that sign checkpoints over the events, each sealed by the master key. The newest signs, the
-- others stay so that what they signed can be verified.
CREATE TABLE central_checkpoint_keys (
    generation    INTEGER NOT NULL PRIMARY KEY,
    key_id        TEXT NOT NULL,
    master_key_id TEXT NOT NULL,
    sealed        BLOB NOT NULL,
    created_at    TEXT NOT NULL
) STRICT;
