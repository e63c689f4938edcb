-- See the same file for PostgreSQL.
ALTER TABLE event_subscriptions ADD COLUMN resumed INTEGER NOT NULL DEFAULT 0;
