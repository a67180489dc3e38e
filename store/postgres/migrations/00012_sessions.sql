-- Who is signed in with a browser.

-- +goose Up

-- hash is the SHA-256 of a secret of at least 128 random bits, which only a
-- browser has. kind says what the secret is: of a session, a code that is good
-- for one session, or the state of a sign-in that is done. session is the row as
-- JSON. Rows are removed when they end, and some time after they expire.
CREATE TABLE pawl.sessions (
    kind       text COLLATE "C" NOT NULL CHECK (kind IN ('session', 'code', 'state')),
    hash       text COLLATE "C" NOT NULL CHECK (length(hash) = 64),
    subject    text COLLATE "C" NOT NULL CHECK ((subject = '') = (kind = 'state')),
    session    text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (kind, hash)
);

CREATE INDEX sessions_subject ON pawl.sessions (subject);
CREATE INDEX sessions_expire ON pawl.sessions (expires_at);
