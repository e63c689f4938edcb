-- Events that wait behind a dead letter of their stream: the first of those, as it was when they came.
ALTER TABLE event_dead_letters ADD COLUMN held_behind bigint;

-- The dead letters of a stream, in order.
CREATE INDEX event_dead_letters_stream
    ON event_dead_letters (subscription, stream_id, position);
