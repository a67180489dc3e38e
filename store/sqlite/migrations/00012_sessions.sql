-- Who is signed in with a browser.

-- +goose Up

-- hash is the SHA-256 of a secret of at least 128 random bits, which only a
-- browser has. kind says what the secret is: of a session, a code that is good
-- for one session, or the state of a sign-in that is done. session is the row as
-- JSON. Rows are removed when they end, and some time after they expire.
CREATE TABLE sessions (
    kind       TEXT NOT NULL CHECK (kind IN ('session', 'code', 'state')),
    hash       TEXT NOT NULL CHECK (length(hash) = 64),
    subject    TEXT NOT NULL CHECK ((subject = '') = (kind = 'state')),
    session    TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (kind, hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_subject ON sessions (subject);
CREATE INDEX sessions_expire ON sessions (expires_at);
