-- Where a verification of the ledger stands that is not finished: what it has
-- found and what it needs to go on.

-- +goose Up

CREATE TABLE ledger_verification_state (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    started_at timestamptz NOT NULL,
    saved_at   timestamptz NOT NULL,
    position   bigint NOT NULL,
    state      bytea NOT NULL
);
