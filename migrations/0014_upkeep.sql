-- What retention has under way, and where the batches of a day are.

-- +goose Up

-- The object of a deleted segment is gone; null: it may still be there, and no
-- hold can be placed on what is in it.
ALTER TABLE archived_segment ADD COLUMN gone_at timestamptz;

-- Where the batches of a day are: a clock that was set back puts later days at
-- earlier positions.
CREATE INDEX batch_received ON batch USING brin (received_at) WITH (pages_per_range = 32, autosummarize = on);
