-- Facts: what projections derive from batches. All of it can be dropped and
-- rebuilt, but for finding, transition and run, which are records.

-- +goose Up

-- A cursor is the next ledger position that a lane of a pass will read. It
-- moves only by an UPDATE that names the position it moves from.
CREATE TABLE projection_cursor (
    pass      text NOT NULL,
    lane      smallint NOT NULL,
    version   integer NOT NULL,
    position  bigint NOT NULL,
    -- all that was received before watermark has been projected by this lane
    watermark timestamptz NOT NULL,
    PRIMARY KEY (pass, lane)
) WITH (fillfactor = 50);

CREATE TABLE quarantine (
    pass           text NOT NULL,
    position       bigint NOT NULL,
    reason         text NOT NULL,
    quarantined_at timestamptz NOT NULL,
    PRIMARY KEY (pass, position)
);

-- How far each pass has read each imported file: the second line against
-- importing a record twice, after the agent's own.
CREATE TABLE import_progress (
    pass        text NOT NULL,
    stream_id   uuid NOT NULL,
    file_sha256 bytea NOT NULL,
    chunk       bigint NOT NULL,
    ordinal     bigint NOT NULL,
    PRIMARY KEY (pass, stream_id, file_sha256)
);

-- The newest live event time of each stream: a live event much older than it
-- shows a clock set back.
CREATE TABLE stream_clock (
    pass       text NOT NULL,
    stream_id  uuid NOT NULL,
    live_until timestamptz NOT NULL,
    PRIMARY KEY (pass, stream_id)
) WITH (fillfactor = 50);

CREATE TABLE coverage_range (
    host_id        uuid NOT NULL,
    source         text NOT NULL,
    channel        text NOT NULL,
    capability     text NOT NULL,
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL,
    state          text NOT NULL CHECK (state IN ('covered', 'explained_off', 'unexplained', 'pending')),
    mode           text NOT NULL,
    grade          smallint NOT NULL,
    reason         text NOT NULL,
    since_position bigint NOT NULL,
    since_ordinal  integer NOT NULL,
    until_position bigint NOT NULL,
    until_ordinal  integer NOT NULL,
    PRIMARY KEY (host_id, source, channel, capability, starts_at)
) WITH (fillfactor = 70);

-- What the coverage builder carries from one batch to the next, per host.
CREATE TABLE coverage_memory (
    host_id uuid PRIMARY KEY,
    memory  jsonb NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE posture (
    host_id     uuid NOT NULL,
    name        text NOT NULL,
    value       text NOT NULL,
    observed_at timestamptz NOT NULL,
    position    bigint NOT NULL,
    ordinal     integer NOT NULL,
    PRIMARY KEY (host_id, name)
) WITH (fillfactor = 50);

CREATE TABLE host_activity (
    host_id        uuid PRIMARY KEY,
    events         bigint NOT NULL,
    first_observed timestamptz NOT NULL,
    last_observed  timestamptz NOT NULL,
    last_received  timestamptz NOT NULL,
    last_health    timestamptz
) WITH (fillfactor = 50);

CREATE TABLE hit (
    host_id     uuid NOT NULL,
    check_id    text NOT NULL,
    selector    text NOT NULL,
    position    bigint NOT NULL,
    ordinal     integer NOT NULL,
    observed_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    booked_at   timestamptz NOT NULL,
    clock_fault boolean NOT NULL,
    mode        text NOT NULL,
    grade       smallint NOT NULL,
    source      text NOT NULL,
    channel     text NOT NULL,
    provider    text NOT NULL,
    event_id    bigint NOT NULL,
    record_id   bigint NOT NULL,
    fields      jsonb NOT NULL,
    PRIMARY KEY (host_id, check_id, selector, position, ordinal)
);

CREATE TABLE metric (
    host_id uuid NOT NULL,
    name    text NOT NULL,
    key     text NOT NULL,
    day     date NOT NULL,
    good    bigint NOT NULL,
    total   bigint NOT NULL,
    PRIMARY KEY (host_id, name, key, day)
) WITH (fillfactor = 50);

-- The verdict of each check on each host as of the newest run.
CREATE TABLE verdict (
    host_id     uuid NOT NULL,
    check_id    text NOT NULL,
    state       text NOT NULL,
    reason      text NOT NULL,
    detail      text NOT NULL,
    grade       smallint NOT NULL,
    coverage    double precision,
    window_from timestamptz NOT NULL,
    window_to   timestamptz NOT NULL,
    -- evidence is position, ordinal, position, ordinal, … of at most 20 events, newest first
    evidence       bigint[] NOT NULL,
    evidence_total integer NOT NULL,
    since          timestamptz,
    last_failing   timestamptz,
    open_findings  integer NOT NULL,
    disposition    text NOT NULL,
    accruing       boolean NOT NULL,
    PRIMARY KEY (host_id, check_id)
) WITH (fillfactor = 50);

CREATE TABLE finding (
    id             uuid PRIMARY KEY,
    host_id        uuid NOT NULL,
    check_id       text NOT NULL,
    key            text NOT NULL,
    title          text NOT NULL,
    opened_at      timestamptz NOT NULL,
    last_at        timestamptz NOT NULL,
    -- resolved_at: what resolves it was seen, or a person closed it (closed_by).
    resolved_at    timestamptz,
    closed_by      text NOT NULL DEFAULT '',
    cause          text NOT NULL DEFAULT '',
    grade          smallint NOT NULL,
    clock_fault    boolean NOT NULL,
    evidence       bigint[] NOT NULL,
    evidence_total integer NOT NULL,
    fields         jsonb NOT NULL,
    recorded_at    timestamptz NOT NULL,
    position       bigint NOT NULL
);
CREATE INDEX finding_host ON finding (host_id, opened_at);
CREATE INDEX finding_opened ON finding (opened_at);

-- What people closed; evaluation reads it as a fact.
CREATE TABLE finding_closure (
    position   bigint PRIMARY KEY,
    finding_id uuid NOT NULL REFERENCES finding (id),
    closed_at  timestamptz NOT NULL,
    closed_by  text NOT NULL,
    cause      text NOT NULL
);

CREATE TABLE transition (
    position    bigint PRIMARY KEY,
    host_id     uuid NOT NULL,
    check_id    text NOT NULL,
    from_state  text NOT NULL,
    to_state    text NOT NULL,
    reason      text NOT NULL,
    valid_at    timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX transition_host ON transition (host_id, check_id, position);
CREATE INDEX transition_recorded ON transition (recorded_at);

CREATE TABLE run (
    id           uuid PRIMARY KEY,
    started_at   timestamptz NOT NULL,
    instant      timestamptz NOT NULL,
    watermark    timestamptz NOT NULL,
    tree_size    bigint NOT NULL,
    hosts        integer NOT NULL,
    root         bytea NOT NULL,
    inputs       jsonb NOT NULL,
    position     bigint NOT NULL
);
CREATE INDEX run_position ON run (position);

-- What people decide: lists, parameters of checks and change windows. The
-- newest row of a (kind, name) holds; each is a leaf.
CREATE TABLE policy_change (
    position    bigint PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('list', 'parameter', 'change_window')),
    name        text NOT NULL,
    body        jsonb NOT NULL,
    user_name   text NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX policy_change_name ON policy_change (kind, name, position);
