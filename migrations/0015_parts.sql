-- What grows with matches and with agents is parted by positions of the ledger, as
-- its batches are: what is used up or thinned goes by the part, never by the row.

-- +goose Up

-- Parts are of so many positions as their names' number says: see PositionParts.
ALTER TABLE detection RENAME TO detection_old;
ALTER TABLE detection_old RENAME CONSTRAINT detection_pkey TO detection_old_pkey;
ALTER INDEX detection_position RENAME TO detection_old_position;
ALTER INDEX detection_rule RENAME TO detection_old_rule;
ALTER INDEX detection_host RENAME TO detection_old_host;
ALTER INDEX detection_booked RENAME TO detection_old_booked;
CREATE TABLE detection (
    LIKE detection_old INCLUDING DEFAULTS,
    PRIMARY KEY (host_id, pack, rule_id, position, ordinal)
) PARTITION BY RANGE (position);
CREATE INDEX detection_position ON detection (position, ordinal);
CREATE INDEX detection_rule ON detection (pack, rule_id, booked_at);
CREATE INDEX detection_host ON detection (host_id, booked_at);
CREATE INDEX detection_booked ON detection (booked_at);

ALTER TABLE correlation_input RENAME TO correlation_input_old;
ALTER TABLE correlation_input_old RENAME CONSTRAINT correlation_input_pkey TO correlation_input_old_pkey;
CREATE TABLE correlation_input (
    LIKE correlation_input_old INCLUDING DEFAULTS,
    PRIMARY KEY (position, ordinal, pack, rule_id)
) PARTITION BY RANGE (position);

ALTER TABLE cosignature RENAME TO cosignature_old;
ALTER TABLE cosignature_old RENAME CONSTRAINT cosignature_pkey TO cosignature_old_pkey;
ALTER INDEX cosignature_agent RENAME TO cosignature_old_agent;
ALTER INDEX cosignature_received RENAME TO cosignature_old_received;
CREATE TABLE cosignature (
    LIKE cosignature_old INCLUDING DEFAULTS,
    PRIMARY KEY (size, agent_id),
    FOREIGN KEY (agent_id) REFERENCES agent (id)
) PARTITION BY RANGE (size);
CREATE INDEX cosignature_agent ON cosignature (agent_id, size);
CREATE INDEX cosignature_received ON cosignature (received_at);

-- +goose StatementBegin
DO $$
DECLARE
    parted record;
    number bigint;
BEGIN
    FOR parted IN SELECT * FROM (VALUES ('detection', 'position', 64), ('correlation_input', 'position', 1), ('cosignature', 'size', 1)) v (name, key, segments) LOOP
        FOR number IN EXECUTE format('SELECT DISTINCT %I / %s FROM %I_old', parted.key, parted.segments * 262144, parted.name) LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)', parted.name || '_' || lpad(number::text, 8, '0'), parted.name,
                number * parted.segments * 262144, (number + 1) * parted.segments * 262144);
        END LOOP;
        EXECUTE format('INSERT INTO %I SELECT * FROM %I_old', parted.name, parted.name);
        EXECUTE format('DROP TABLE %I_old', parted.name);
    END LOOP;
END
$$;
-- +goose StatementEnd
