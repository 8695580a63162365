-- Who vouches for the ledger: its keys, what judges and by which packs, the
-- hosts and witnesses that cosigned checkpoints, and time-stamps of them.

-- +goose Up

-- The rows beside leaves of keys, engines and frameworks: body is the leaf's.
CREATE TABLE leaf_record (
    position bigint PRIMARY KEY,
    kind     smallint NOT NULL,
    name     text NOT NULL,
    body     bytea NOT NULL
);
CREATE INDEX leaf_record_name ON leaf_record (kind, name, position);

-- An agent's signature of a checkpoint that it verified, by its device key.
CREATE TABLE cosignature (
    size               bigint NOT NULL,
    agent_id           uuid NOT NULL REFERENCES agent (id),
    certificate_serial bytea NOT NULL,
    -- signed_at is the agent's clock, received_at ours.
    signed_at          timestamptz NOT NULL,
    received_at        timestamptz NOT NULL,
    signature          bytea NOT NULL,
    PRIMARY KEY (size, agent_id)
);
CREATE INDEX cosignature_agent ON cosignature (agent_id, size);
CREATE INDEX cosignature_received ON cosignature (received_at);

-- A witness's signature line, as it stands under a signed note. key is its
-- verifier key.
CREATE TABLE witness_cosignature (
    size      bigint NOT NULL,
    key       text NOT NULL,
    name      text NOT NULL,
    signed_at timestamptz NOT NULL,
    line      text NOT NULL,
    PRIMARY KEY (size, key)
);
CREATE INDEX witness_cosignature_key ON witness_cosignature (key, size);

-- An RFC 3161 time-stamp token over the SHA-256 of a checkpoint's note text.
CREATE TABLE time_stamp (
    size       bigint NOT NULL,
    authority  text NOT NULL,
    stamped_at timestamptz NOT NULL,
    token      bytea NOT NULL,
    PRIMARY KEY (size, authority)
);
