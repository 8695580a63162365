-- Replicas: which servers run, and which of them does what one is enough for.
-- Nothing here is evidence and no write rests on it: whoever moves a cursor or
-- the tree compares what was there. Times are of the database's clock, the only
-- one that all servers share.

-- +goose Up

CREATE TABLE server (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    version    text NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL
) WITH (fillfactor = 50);

-- A task whose lease has run out is whoever's comes first. server_id is null
-- where it was given back.
CREATE TABLE lease (
    task       text PRIMARY KEY,
    server_id  uuid,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
