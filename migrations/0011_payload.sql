-- What the kernel driver's copies of payloads tell: the heads of HTTP messages and
-- TLS hellos. Columns have defaults, so that the release before can still write.

-- +goose Up

ALTER TABLE win_http_events ADD COLUMN host_name text NOT NULL DEFAULT '';
ALTER TABLE win_http_events ADD COLUMN user_agent text NOT NULL DEFAULT '';
ALTER TABLE win_http_events ADD COLUMN referer text NOT NULL DEFAULT '';
ALTER TABLE win_http_events ADD COLUMN content_type text NOT NULL DEFAULT '';
ALTER TABLE win_http_events ADD COLUMN content_length bigint;
ALTER TABLE win_http_events ADD COLUMN server_name text NOT NULL DEFAULT '';
ALTER TABLE win_http_events ADD COLUMN direction text NOT NULL DEFAULT '';
ALTER TABLE win_http_events ADD COLUMN protocol_version text NOT NULL DEFAULT '';
ALTER TABLE win_http_events ADD COLUMN local_port bigint;
ALTER TABLE win_http_events ADD COLUMN cut boolean;

CREATE TABLE win_ssl_events (
    host_id uuid NOT NULL,
    position bigint NOT NULL,
    ordinal integer NOT NULL,
    observed_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    source text NOT NULL,
    grade text NOT NULL,
    mode text NOT NULL,
    record_id bigint,
    channel text NOT NULL,
    provider text NOT NULL,
    event_id integer,
    rule_name text NOT NULL,
    action text NOT NULL,
    pid bigint,
    process_guid text NOT NULL,
    process_uid text NOT NULL,
    identity text NOT NULL,
    process_name text NOT NULL,
    user_name text NOT NULL,
    direction text NOT NULL,
    local_address text NOT NULL,
    local_port bigint,
    remote_address text NOT NULL,
    remote_port bigint,
    server_name text NOT NULL,
    tls_version text NOT NULL,
    tls_versions text[] NOT NULL,
    alpn text[] NOT NULL,
    ciphers text[] NOT NULL,
    extensions text[] NOT NULL,
    groups text[] NOT NULL,
    signature_algorithms text[] NOT NULL,
    ja3 text NOT NULL,
    ja3_hash text NOT NULL,
    ja4 text NOT NULL,
    subject_name text NOT NULL,
    issuer_name text NOT NULL,
    cut boolean
) PARTITION BY RANGE (received_at);
CREATE INDEX win_ssl_events_host_observed ON win_ssl_events (host_id, observed_at);
CREATE INDEX win_ssl_events_received ON win_ssl_events USING brin (received_at);
