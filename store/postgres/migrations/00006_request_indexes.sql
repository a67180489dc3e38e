-- Lists of the API are of calls that wait or waited for people. Most calls
-- never do; their writes do not keep indexes for lists that nobody asks for.

-- +goose Up

DROP INDEX IF EXISTS pawl.calls_status;
DROP INDEX IF EXISTS pawl.calls_tool;
DROP INDEX IF EXISTS pawl.calls_agent;
DROP INDEX IF EXISTS pawl.calls_session;
DROP INDEX IF EXISTS pawl.calls_risk;
DROP INDEX IF EXISTS pawl.calls_requester;

CREATE INDEX calls_tool ON pawl.calls (tool, seq) WHERE waits;
CREATE INDEX calls_agent ON pawl.calls (agent, seq) WHERE waits;
CREATE INDEX calls_session ON pawl.calls (session, seq) WHERE waits;
CREATE INDEX calls_risk ON pawl.calls (risk, seq) WHERE waits;
CREATE INDEX calls_requester ON pawl.calls (requester, status, seq) WHERE waits;
