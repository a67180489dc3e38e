-- Entries are found by everybody whom they name: also by who asked, withdrew, started or signed in.

-- +goose Up

-- All but those of calls that nobody was asked about: of the kinds that every call has, their payloads
-- are packed, and begin with another byte than JSON.
DROP INDEX pawl.entries_acts;
CREATE INDEX entries_acts ON pawl.entries (at, seq) WHERE substr(payload, 1, 1) = '\x7b'::bytea;
