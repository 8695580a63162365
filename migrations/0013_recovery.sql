-- What others hold of a ledger that this database, restored from an older
-- backup, does not have.

-- +goose Up

-- A checkpoint that is signed by the ledger's key and not of its tree, by who
-- showed it first: an agent, or a file that an auditor gave. settled_at is the
-- position of the leaf by which a successor ledger answers it.
CREATE TABLE held_checkpoint (
    size       bigint NOT NULL,
    root       bytea NOT NULL,
    note       bytea NOT NULL,
    holder     text NOT NULL,
    agent_id   uuid,
    shown_at   timestamptz NOT NULL,
    settled_at bigint,
    PRIMARY KEY (size, root)
);
