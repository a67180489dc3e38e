-- What waits is listed by when its time ends.

-- +goose Up

-- deadline is until when people may answer; null in calls that never wait. A Pawl from
-- before writes none: what it admits is listed as if its time ended when it was asked for.
ALTER TABLE pawl.calls ADD COLUMN deadline timestamptz;

UPDATE pawl.calls SET deadline = (pawl.readable(convert_to(view, 'UTF8')) ->> 'deadline')::timestamptz
WHERE waits AND status = 'pending';

CREATE INDEX calls_deadline ON pawl.calls (coalesce(deadline, created_at), seq) WHERE waits AND status = 'pending';
