-- The verification of the ledger reads what was done to alerts by position.

-- +goose Up

CREATE INDEX alert_action_position ON alert_action (position);
