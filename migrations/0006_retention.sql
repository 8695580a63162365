-- Retention: what leaves Postgres for the archive, what is erased, and what
-- must not be.

-- +goose Up

-- Null: the payload is in the archive, in the segment's object.
ALTER TABLE batch ALTER COLUMN payload DROP NOT NULL;

-- A segment of the ledger whose batches were written to the archive, read back
-- and recorded in a leaf.
CREATE TABLE archived_segment (
    segment        bigint PRIMARY KEY,
    object         text NOT NULL,
    bytes          bigint NOT NULL,
    sha256         bytea NOT NULL CHECK (length(sha256) = 32),
    batches        bigint NOT NULL,
    first_received timestamptz NOT NULL,
    last_received  timestamptz NOT NULL,
    archived_at    timestamptz NOT NULL,
    position       bigint NOT NULL,
    -- dropped_at: its payloads left Postgres; deleted_at: its object is gone too.
    dropped_at       timestamptz,
    deleted_at       timestamptz,
    deleted_position bigint
);

-- Segments that a host has batches in: what a hold on the host keeps.
CREATE TABLE archived_host (
    segment bigint NOT NULL,
    host_id uuid NOT NULL,
    batches bigint NOT NULL,
    PRIMARY KEY (host_id, segment)
);

CREATE TABLE hold (
    id               uuid PRIMARY KEY,
    host_id          uuid, -- null: all hosts
    reason           text NOT NULL,
    placed_by        text NOT NULL,
    placed_at        timestamptz NOT NULL,
    position         bigint NOT NULL,
    released_by      text,
    released_at      timestamptz,
    release_reason   text,
    release_position bigint
);

CREATE TABLE erasure (
    id            uuid PRIMARY KEY,
    host_id       uuid NOT NULL,
    month         date NOT NULL,
    reason        text NOT NULL,
    requested_by  text NOT NULL,
    requested_at  timestamptz NOT NULL,
    position      bigint NOT NULL,
    -- due_at: the end of the statutory retention, before which nothing is erased.
    due_at        timestamptz NOT NULL,
    -- done_at: recorded in the ledger; only then is the key deleted, so that no
    -- payload is ever missing without a leaf that says why.
    done_at        timestamptz,
    done_position  bigint,
    key_deleted_at timestamptz,
    UNIQUE (host_id, month)
);

-- Records of imported files that were projected before: what a rebuilt part of
-- an event table must leave out as the first time.
CREATE TABLE import_repeat (
    position bigint NOT NULL,
    ordinal  integer NOT NULL,
    PRIMARY KEY (position, ordinal)
);

-- A part of the event tables that is, or was, rebuilt from the batches.
CREATE TABLE rebuild (
    id          uuid PRIMARY KEY,
    from_day    date NOT NULL,
    to_day      date NOT NULL, -- exclusive
    started_at  timestamptz NOT NULL,
    started_by  text NOT NULL,
    -- The parts are rebuilt week by week: week is the one under way, position
    -- the next that is read of it.
    week        date NOT NULL,
    position    bigint NOT NULL,
    end_position bigint NOT NULL,
    events      bigint NOT NULL DEFAULT 0,
    finished_at timestamptz,
    -- What was brought back beyond the hot period stays at least so long.
    keep_until  timestamptz NOT NULL
);
