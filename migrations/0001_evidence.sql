-- Evidence: who may send, what was received, and the ledger over it.
-- Times that are evidence come from the server's clock through the program,
-- never from now(): a test or a recovery must be able to state them.

-- +goose Up

CREATE TABLE host (
    id            uuid PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('enrolled', 'imported')),
    name          text NOT NULL,
    domain        text NOT NULL DEFAULT '',
    os            text NOT NULL DEFAULT '',
    os_version    text NOT NULL DEFAULT '',
    smbios_uuid   text NOT NULL DEFAULT '',
    machine_id    text NOT NULL DEFAULT '',
    simulated     boolean NOT NULL DEFAULT false,
    tags          text[] NOT NULL DEFAULT '{}',
    -- import_stream is set for imported hosts: their identity is (stream, name).
    import_stream uuid,
    created_at    timestamptz NOT NULL,
    retired_at    timestamptz
);
CREATE INDEX host_name ON host (lower(name));

CREATE TABLE enrolment_token (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    secret_hash bytea NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    rights      text[] NOT NULL,
    tags        text[] NOT NULL DEFAULT '{}',
    uses_left   integer NOT NULL CHECK (uses_left >= 0),
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL,
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz
);

CREATE TABLE agent (
    id                uuid PRIMARY KEY,
    host_id           uuid NOT NULL REFERENCES host (id),
    token_id          uuid NOT NULL REFERENCES enrolment_token (id),
    rights            text[] NOT NULL,
    key_kind          text NOT NULL,
    public_key        bytea NOT NULL,
    version           text NOT NULL DEFAULT '',
    enrolled_at       timestamptz NOT NULL,
    last_seen_at      timestamptz,
    last_address      text NOT NULL DEFAULT '',
    revoked_at        timestamptz,
    revoked_reason    text NOT NULL DEFAULT '',
    compromised_since timestamptz
);
CREATE INDEX agent_host ON agent (host_id);

CREATE TABLE certificate (
    serial     bytea PRIMARY KEY,
    agent_id   uuid NOT NULL REFERENCES agent (id),
    der        bytea NOT NULL,
    not_before timestamptz NOT NULL,
    not_after  timestamptz NOT NULL,
    position   bigint NOT NULL
);
CREATE INDEX certificate_agent ON certificate (agent_id);
CREATE UNIQUE INDEX certificate_position ON certificate (position);

-- stream is the fence: a batch is appended only by an UPDATE that names the
-- head it expects, so two servers cannot both continue one chain.
CREATE TABLE stream (
    id            uuid PRIMARY KEY,
    agent_id      uuid NOT NULL REFERENCES agent (id),
    kind          smallint NOT NULL,
    lane          smallint NOT NULL CHECK (lane BETWEEN 0 AND 255),
    epoch         integer NOT NULL,
    number        bigint NOT NULL,
    hash          bytea NOT NULL CHECK (length(hash) = 32),
    next_sequence bigint NOT NULL,
    -- position, committed_at: of the newest batch; -1 and null where there is none.
    position      bigint NOT NULL DEFAULT -1,
    committed_at  timestamptz,
    opened_at     timestamptz NOT NULL,
    -- revoked is set with the agent's revocation, under this row's lock: no
    -- batch gets a position after the leaf that revokes its agent.
    revoked       boolean NOT NULL DEFAULT false,
    UNIQUE (agent_id, kind)
) WITH (fillfactor = 50);

CREATE TABLE epoch (
    stream_id  uuid NOT NULL REFERENCES stream (id),
    epoch      integer NOT NULL,
    opening    bytea NOT NULL,
    granted_at timestamptz NOT NULL,
    position   bigint NOT NULL,
    PRIMARY KEY (stream_id, epoch)
);
CREATE UNIQUE INDEX epoch_position ON epoch (position);

-- Segments of 262,144 positions each are made ahead of the head by the writer.
CREATE TABLE batch (
    position           bigint NOT NULL PRIMARY KEY,
    stream_id          uuid NOT NULL,
    lane               smallint NOT NULL,
    epoch              integer NOT NULL,
    number             bigint NOT NULL,
    certificate_serial bytea NOT NULL,
    received_at        timestamptz NOT NULL,
    header             bytea NOT NULL,
    head_signature     bytea,
    payload            bytea NOT NULL
) PARTITION BY RANGE (position);
ALTER TABLE batch ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX batch_stream ON batch (stream_id, epoch, number);

-- A batch that contradicts an acknowledged chain is kept: it can support a
-- fail, never a pass.
CREATE TABLE fork (
    position           bigint PRIMARY KEY,
    stream_id          uuid NOT NULL,
    epoch              integer NOT NULL,
    number             bigint NOT NULL,
    certificate_serial bytea NOT NULL,
    received_at        timestamptz NOT NULL,
    header             bytea NOT NULL,
    head_signature     bytea,
    payload            bytea NOT NULL,
    UNIQUE (stream_id, epoch, number, header)
);

-- recorded_at is the time of the newest leaf. Servers whose clocks differ a
-- little take the greater one, so that times go with positions.
CREATE TABLE ledger_head (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    size        bigint NOT NULL,
    recorded_at timestamptz NOT NULL
);
INSERT INTO ledger_head (size, recorded_at) VALUES (0, 'epoch');

CREATE TABLE leaf (
    position bigint NOT NULL PRIMARY KEY,
    kind     smallint NOT NULL,
    data     bytea NOT NULL
) PARTITION BY RANGE (position);

-- The Merkle tree, as RFC 6962 subtree hashes under their stored-hash index.
CREATE TABLE ledger_hash (
    index bigint PRIMARY KEY,
    hash  bytea NOT NULL CHECK (length(hash) = 32)
);

CREATE TABLE ledger_tree (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    size bigint NOT NULL,
    root bytea NOT NULL
);
INSERT INTO ledger_tree (size, root)
VALUES (0, '\xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');

CREATE TABLE checkpoint (
    size      bigint PRIMARY KEY,
    root      bytea NOT NULL,
    note      bytea NOT NULL,
    signed_at timestamptz NOT NULL
);

CREATE TABLE ledger_verification (
    id          uuid PRIMARY KEY,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    size        bigint NOT NULL,
    problems    text[] NOT NULL
);
CREATE INDEX ledger_verification_finished ON ledger_verification (finished_at);
