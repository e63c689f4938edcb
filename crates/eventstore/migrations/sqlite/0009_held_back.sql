-- See the same file for PostgreSQL.
ALTER TABLE event_dead_letters ADD COLUMN held_behind INTEGER;

CREATE INDEX event_dead_letters_stream
    ON event_dead_letters (subscription, stream_id, position);
