-- Console: who may look, and who did what.

-- +goose Up

CREATE TABLE console_user (
    id            uuid PRIMARY KEY,
    name          text NOT NULL,
    password_hash text NOT NULL,
    role          text NOT NULL CHECK (role IN ('admin', 'viewer')),
    created_at    timestamptz NOT NULL,
    disabled_at   timestamptz
);
CREATE UNIQUE INDEX console_user_name ON console_user (lower(name));

CREATE TABLE session (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id    uuid NOT NULL REFERENCES console_user (id),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    address    text NOT NULL
);
CREATE INDEX session_expires ON session (expires_at);

-- Every mutation by a person, written in the mutation's own transaction; the
-- leaf at position holds the same entry.
CREATE TABLE audit_entry (
    position    bigint PRIMARY KEY,
    user_name   text NOT NULL,
    action      text NOT NULL,
    subject     text NOT NULL,
    detail      jsonb NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX audit_entry_recorded ON audit_entry (recorded_at);
