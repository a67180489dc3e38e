-- An erasure is as its record says, and takes signed decisions with the payloads.

-- +goose Up

-- Signed decisions hold the reviewers' notes and names, as the payloads do.
UPDATE claims SET evidence = ''
WHERE evidence <> '' AND call IN (SELECT seq FROM calls WHERE erased > 0);
