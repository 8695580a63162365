-- Notifications: where alerts are told to, and what became of each message.
-- River's own tables (river_*) are made by its migrator, after these.

-- +goose Up

CREATE TABLE notification_target (
    id             uuid PRIMARY KEY,
    name           text NOT NULL CHECK (name <> ''),
    kind           text NOT NULL CHECK (kind IN ('webhook', 'email', 'syslog')),
    -- What may be shown. A webhook's whole URL is among the secrets.
    address        text NOT NULL,
    settings       jsonb NOT NULL,
    -- AES-256-GCM under a key that the database never sees, bound to id.
    secrets        bytea NOT NULL,
    levels         text[] NOT NULL,
    kinds          text[] NOT NULL,
    enabled        boolean NOT NULL,
    created_by     text NOT NULL,
    created_at     timestamptz NOT NULL,
    changed_by     text NOT NULL,
    changed_at     timestamptz NOT NULL,
    changed_reason text NOT NULL,
    position       bigint NOT NULL
);
CREATE UNIQUE INDEX notification_target_name ON notification_target (lower(name));

-- One message to one target. A test has no event. The unique key is what makes
-- one stream of attempts out of an event and a target, whoever claims the event.
CREATE TABLE notification_delivery (
    id              uuid PRIMARY KEY,
    event_id        bigint,
    target_id       uuid NOT NULL REFERENCES notification_target (id),
    kind            text NOT NULL,
    alert_id        uuid,
    level           text NOT NULL,
    detail          text NOT NULL,
    occurred_at     timestamptz NOT NULL,
    state           text NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'cancelled')),
    created_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    next_attempt_at timestamptz,
    -- River's job that makes the attempts; 0 for a test, which is made at once.
    job_id          bigint NOT NULL,
    UNIQUE (event_id, target_id)
);
CREATE INDEX notification_delivery_created ON notification_delivery (created_at DESC, id);
CREATE INDEX notification_delivery_target ON notification_delivery (target_id, created_at DESC);
CREATE INDEX notification_delivery_alert ON notification_delivery (alert_id);
CREATE INDEX notification_delivery_unfinished ON notification_delivery (state) WHERE state IN ('pending', 'failed');

CREATE TABLE notification_attempt (
    delivery_id  uuid NOT NULL REFERENCES notification_delivery (id) ON DELETE CASCADE,
    number       integer NOT NULL,
    at           timestamptz NOT NULL,
    milliseconds integer NOT NULL,
    ok           boolean NOT NULL,
    detail       text NOT NULL,
    PRIMARY KEY (delivery_id, number)
);
