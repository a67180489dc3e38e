-- Lists of the API are of calls that wait or waited for people. Most calls
-- never do; their writes do not keep indexes for lists that nobody asks for.

-- +goose Up

DROP INDEX IF EXISTS calls_status;
DROP INDEX IF EXISTS calls_tool;
DROP INDEX IF EXISTS calls_agent;
DROP INDEX IF EXISTS calls_session;
DROP INDEX IF EXISTS calls_risk;
DROP INDEX IF EXISTS calls_requester;

CREATE INDEX calls_tool ON calls (tool) WHERE waits = 1;
CREATE INDEX calls_agent ON calls (agent) WHERE waits = 1;
CREATE INDEX calls_session ON calls (session) WHERE waits = 1;
CREATE INDEX calls_risk ON calls (risk) WHERE waits = 1;
CREATE INDEX calls_requester ON calls (requester, status) WHERE waits = 1;
