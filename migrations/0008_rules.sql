-- Rules: packs of detection rules, which of them are on, and what they matched.
-- Packs and changes are records; detection, correlation_input and
-- correlation_window are projections.

-- +goose Up

-- A version of a pack never changes once it is here.
CREATE TABLE rule_pack (
    name         text NOT NULL,
    version      text NOT NULL,
    digest       bytea NOT NULL CHECK (length(digest) = 32),
    builtin      boolean NOT NULL,
    files        integer NOT NULL,
    rules        integer NOT NULL,
    correlations integer NOT NULL,
    filters      integer NOT NULL,
    problems     integer NOT NULL,
    imported_by  text NOT NULL,
    imported_at  timestamptz NOT NULL,
    position     bigint NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TABLE rule_source (
    pack    text NOT NULL,
    version text NOT NULL,
    path    text NOT NULL,
    data    bytea NOT NULL,
    PRIMARY KEY (pack, version, path)
);

-- begins and ends bound the rule's document in its file, in bytes.
CREATE TABLE rule (
    pack            text NOT NULL,
    version         text NOT NULL,
    id              text NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('rule', 'correlation', 'filter')),
    title           text NOT NULL,
    level           smallint NOT NULL,
    status          text NOT NULL,
    logsource       text NOT NULL,
    description     text NOT NULL,
    author          text NOT NULL,
    license         text NOT NULL,
    tags            text[] NOT NULL,
    refs            text[] NOT NULL,
    false_positives text[] NOT NULL,
    related         text[] NOT NULL,
    alert_by        text[] NOT NULL,
    digest          bytea NOT NULL CHECK (length(digest) = 32),
    path            text NOT NULL,
    line            integer NOT NULL,
    begins          integer NOT NULL,
    ends            integer NOT NULL,
    PRIMARY KEY (pack, version, id)
);

CREATE TABLE rule_problem (
    pack    text NOT NULL,
    version text NOT NULL,
    number  integer NOT NULL,
    path    text NOT NULL,
    line    integer NOT NULL,
    rule    text NOT NULL,
    reason  text NOT NULL,
    PRIMARY KEY (pack, version, number)
);

-- Which version of a pack is in force, and which rules are on: the newest row
-- below a ledger position holds for the events at that position.
CREATE TABLE rule_pack_use (
    pack      text NOT NULL,
    position  bigint NOT NULL,
    version   text NOT NULL,
    user_name text NOT NULL,
    reason    text NOT NULL,
    used_at   timestamptz NOT NULL,
    PRIMARY KEY (pack, position)
);

CREATE TABLE rule_change (
    pack       text NOT NULL,
    rule_id    text NOT NULL,
    position   bigint NOT NULL,
    enabled    boolean NOT NULL,
    user_name  text NOT NULL,
    reason     text NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (pack, rule_id, position)
);

-- One row for each change of what is in force.
CREATE TABLE rule_set (
    position     bigint PRIMARY KEY,
    digest       bytea NOT NULL CHECK (length(digest) = 32),
    rules        integer NOT NULL,
    correlations integer NOT NULL,
    changed_at   timestamptz NOT NULL
);

CREATE TABLE detection (
    host_id      uuid NOT NULL,
    pack         text NOT NULL,
    rule_id      text NOT NULL,
    position     bigint NOT NULL,
    ordinal      integer NOT NULL,
    version      text NOT NULL,
    -- set_position is that of the set of rules it was found under
    set_position bigint NOT NULL,
    level        smallint NOT NULL,
    observed_at  timestamptz NOT NULL,
    received_at  timestamptz NOT NULL,
    booked_at    timestamptz NOT NULL,
    clock_fault  boolean NOT NULL,
    grade        smallint NOT NULL,
    source       text NOT NULL,
    channel      text NOT NULL,
    event_id     bigint NOT NULL,
    process_uid  text NOT NULL,
    -- matched is selection, field, value, selection, field, value, …
    matched      text[] NOT NULL,
    -- key and grouping are name, value, name, value, …
    key          text[] NOT NULL,
    grouping     text[] NOT NULL,
    -- members is position, ordinal, … of a correlation's events, oldest first
    members      bigint[] NOT NULL,
    member_count integer NOT NULL,
    PRIMARY KEY (host_id, pack, rule_id, position, ordinal)
);
CREATE INDEX detection_position ON detection (position, ordinal);
CREATE INDEX detection_rule ON detection (pack, rule_id, booked_at);
CREATE INDEX detection_host ON detection (host_id, booked_at);
CREATE INDEX detection_booked ON detection (booked_at);

-- Matches of rules that correlations refer to, on their way from the lanes to
-- the one that counts them in ledger order and deletes them.
CREATE TABLE correlation_input (
    position     bigint NOT NULL,
    ordinal      integer NOT NULL,
    pack         text NOT NULL,
    rule_id      text NOT NULL,
    host_id      uuid NOT NULL,
    observed_at  timestamptz NOT NULL,
    received_at  timestamptz NOT NULL,
    booked_at    timestamptz NOT NULL,
    clock_fault  boolean NOT NULL,
    grade        smallint NOT NULL,
    source       text NOT NULL,
    channel      text NOT NULL,
    provider     text NOT NULL,
    event_id     bigint NOT NULL,
    process_uid  text NOT NULL,
    fields       text[] NOT NULL,
    PRIMARY KEY (position, ordinal, pack, rule_id)
);

-- What correlations remember, written with the cursor of who counts: "" or a
-- backfill.
CREATE TABLE correlation_window (
    owner      text NOT NULL,
    pack       text NOT NULL,
    rule_id    text NOT NULL,
    key_hash   bytea NOT NULL,
    -- touched orders windows by their newest match
    touched    bigint NOT NULL,
    state      bytea NOT NULL,
    PRIMARY KEY (owner, pack, rule_id, key_hash)
) WITH (fillfactor = 50);

CREATE TABLE rule_backfill (
    id            uuid PRIMARY KEY,
    pack          text NOT NULL,
    version       text NOT NULL,
    rules         text[] NOT NULL,
    since         timestamptz NOT NULL,
    from_position bigint NOT NULL,
    to_position   bigint NOT NULL,
    state         text NOT NULL CHECK (state IN ('running', 'done', 'cancelled', 'failed')),
    detections    bigint NOT NULL DEFAULT 0,
    error         text NOT NULL DEFAULT '',
    user_name     text NOT NULL,
    reason        text NOT NULL,
    started_at    timestamptz NOT NULL,
    finished_at   timestamptz,
    -- the server that runs it, until when others leave it alone
    lease_by      text NOT NULL DEFAULT '',
    lease_until   timestamptz NOT NULL
);
CREATE INDEX rule_backfill_started ON rule_backfill (started_at);
