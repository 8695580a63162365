-- Alerts: what detections call for, and what people did about it. All of it is
-- a record and outlives the detections, which are a projection.

-- +goose Up

CREATE TABLE alert (
    host_id          uuid NOT NULL,
    id               uuid NOT NULL,
    pack             text NOT NULL,
    rule_id          text NOT NULL,
    key              text[] NOT NULL,
    -- key_hash is over pack, rule and key
    key_hash         bytea NOT NULL,
    title            text NOT NULL,
    tags             text[] NOT NULL,
    rule_level       smallint NOT NULL,
    level            smallint NOT NULL,
    state            text NOT NULL CHECK (state IN ('open', 'acknowledged', 'closed')),
    reason           text NOT NULL DEFAULT '',
    duplicate_of     uuid,
    assignee         text NOT NULL DEFAULT '',
    count            bigint NOT NULL,
    first_seen       timestamptz NOT NULL,
    last_seen        timestamptz NOT NULL,
    opened_at        timestamptz NOT NULL,
    -- opening counts the times it was opened again
    opening          integer NOT NULL DEFAULT 0,
    acknowledge_due  timestamptz,
    close_due        timestamptz,
    acknowledged_at  timestamptz,
    acknowledged_by  text NOT NULL DEFAULT '',
    closed_at        timestamptz,
    closed_by        text NOT NULL DEFAULT '',
    -- overdue_noted: 1 the first clock, 2 the second
    overdue_noted    smallint NOT NULL DEFAULT 0,
    latest_position  bigint NOT NULL,
    latest_ordinal   integer NOT NULL,
    finding_id       uuid,
    position         bigint NOT NULL,
    PRIMARY KEY (host_id, id)
) WITH (fillfactor = 70);
CREATE INDEX alert_id ON alert (id);
CREATE INDEX alert_key ON alert (host_id, key_hash, opened_at);
CREATE INDEX alert_last ON alert (last_seen, id);
CREATE INDEX alert_open ON alert (level, last_seen) WHERE state <> 'closed';

-- All that was done, notes among it. Rows are only added.
CREATE TABLE alert_action (
    host_id  uuid NOT NULL,
    alert_id uuid NOT NULL,
    number   integer NOT NULL,
    kind     text NOT NULL,
    user_name text NOT NULL,
    acted_at timestamptz NOT NULL,
    note     text NOT NULL,
    detail   text NOT NULL,
    -- of the alert after it
    state    text NOT NULL,
    level    smallint NOT NULL,
    assignee text NOT NULL,
    opening  integer NOT NULL,
    acknowledge_due timestamptz,
    close_due timestamptz,
    position bigint NOT NULL,
    PRIMARY KEY (host_id, alert_id, number)
);
CREATE INDEX alert_action_acted ON alert_action (acted_at);

-- What became of each detection: the alert that holds it or what suppressed it.
CREATE TABLE alert_detection (
    host_id        uuid NOT NULL,
    pack           text NOT NULL,
    rule_id        text NOT NULL,
    position       bigint NOT NULL,
    ordinal        integer NOT NULL,
    process_uid    text NOT NULL,
    alert_id       uuid,
    suppression_id uuid,
    PRIMARY KEY (host_id, pack, rule_id, position, ordinal)
);
CREATE INDEX alert_detection_alert ON alert_detection (alert_id, position, ordinal) WHERE alert_id IS NOT NULL;
CREATE INDEX alert_detection_process ON alert_detection (host_id, process_uid, pack, rule_id) WHERE process_uid <> '';

CREATE TABLE suppression (
    id           uuid PRIMARY KEY,
    pack         text NOT NULL,
    rule_id      text NOT NULL,
    host_id      uuid,
    tag          text NOT NULL,
    -- conditions is field, value, field, value, …
    conditions   text[] NOT NULL,
    owner        text NOT NULL,
    reason       text NOT NULL,
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    ended_by     text NOT NULL DEFAULT '',
    ended_reason text NOT NULL DEFAULT '',
    count        bigint NOT NULL DEFAULT 0,
    last_at      timestamptz,
    position     bigint NOT NULL
);
CREATE INDEX suppression_expires ON suppression (expires_at);

CREATE TABLE alert_policy (
    position   bigint PRIMARY KEY,
    body       jsonb NOT NULL,
    user_name  text NOT NULL,
    changed_at timestamptz NOT NULL
);

CREATE TABLE review (
    position    bigint PRIMARY KEY,
    user_name   text NOT NULL,
    note        text NOT NULL,
    open        integer NOT NULL,
    overdue     integer NOT NULL,
    reviewed_at timestamptz NOT NULL
);
CREATE INDEX review_reviewed ON review (reviewed_at);

-- What others are to be told of, written in the transaction of what it tells.
-- Ids are not in the order of commits: whoever takes rows asks for those that
-- were not taken.
CREATE TABLE notification_event (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('alert.open', 'alert.reopen', 'alert.escalate', 'alert.overdue')),
    host_id     uuid NOT NULL,
    alert_id    uuid NOT NULL,
    level       text NOT NULL,
    opening     integer NOT NULL,
    detail      text NOT NULL,
    occurred_at timestamptz NOT NULL,
    taken_at    timestamptz,
    UNIQUE (alert_id, opening, kind, detail)
);
CREATE INDEX notification_event_new ON notification_event (id) WHERE taken_at IS NULL;
