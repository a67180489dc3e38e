-- What waits is listed by when its time ends.

-- +goose Up

-- deadline is until when people may answer; null in calls that never wait. A Pawl from
-- before writes none: what it admits is listed as if its time ended when it was asked for.
ALTER TABLE calls ADD COLUMN deadline INTEGER;

UPDATE calls SET deadline = 1000000 * unixepoch(substr(json_extract(view, '$.deadline'), 1, 19))
    + CAST(round(1000000 * CAST(substr(json_extract(view, '$.deadline'), 20) AS REAL)) AS INTEGER)
WHERE waits = 1 AND status = 'pending' AND json_valid(view) AND json_extract(view, '$.deadline') LIKE '%Z';

CREATE INDEX calls_deadline ON calls (status, coalesce(deadline, created_at)) WHERE waits = 1 AND status = 'pending';
