-- How often a subscription was resumed. Consumers that see it grow begin again with partitions that have
-- stopped.
ALTER TABLE event_subscriptions ADD COLUMN resumed bigint NOT NULL DEFAULT 0;
