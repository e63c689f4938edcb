-- What a query by correlation id goes by is a column of its own here: a function in an index, as `->>` is one,
-- makes SQLite keep a copy of every page that a statement of many rows touches, in case it has to take them
-- back. '' means none; NULL that nobody has looked, for the event was stored by an older release, which is
-- mended when the store is opened (src/sqlite/correlation.rs). A release that is rolled back to goes without the
-- index that is dropped here: right, and slower.
ALTER TABLE events ADD COLUMN correlation_id TEXT;

DROP INDEX events_correlation;
CREATE INDEX events_correlation ON events (correlation_id, position) WHERE correlation_id > '';
CREATE INDEX events_correlation_unknown ON events (position) WHERE correlation_id IS NULL;
