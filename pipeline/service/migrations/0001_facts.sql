-- Every fact Muster knows. Times are milliseconds since 1970 in UTC; documents are JSON.
-- The same text serves SQLite and PostgreSQL: TEXT and BIGINT only.

CREATE TABLE inbox (
    id       TEXT   NOT NULL PRIMARY KEY,
    topic    TEXT   NOT NULL,
    headers  TEXT   NOT NULL,
    body     TEXT   NOT NULL,
    sent     BIGINT NOT NULL,
    received BIGINT NOT NULL,
    digested BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX inbox_undigested ON inbox (received, id) WHERE digested = 0;

CREATE TABLE parked (
    id       TEXT   NOT NULL PRIMARY KEY,
    topic    TEXT   NOT NULL,
    reason   TEXT   NOT NULL,
    headers  TEXT   NOT NULL,
    body     TEXT   NOT NULL, -- base64: it may be anything
    received BIGINT NOT NULL,
    settled  TEXT   NOT NULL DEFAULT '' CHECK (settled IN ('', 'dropped'))
);

CREATE TABLE change (
    id       TEXT   NOT NULL PRIMARY KEY,
    at       BIGINT NOT NULL,
    fact     TEXT   NOT NULL,
    recorded BIGINT NOT NULL,
    effect   TEXT   NOT NULL DEFAULT '' -- what it did, in one line; empty until it is weighed
);
CREATE INDEX change_unweighed ON change (recorded, id) WHERE effect = '';
CREATE INDEX change_recorded ON change (recorded);

CREATE TABLE candidate (
    id       TEXT   NOT NULL PRIMARY KEY,
    recipe   TEXT   NOT NULL,
    stream   TEXT   NOT NULL,
    created  BIGINT NOT NULL,
    facts    TEXT   NOT NULL, -- recipe, definition, tests, purpose
    life     TEXT   NOT NULL,
    verdict  TEXT   NOT NULL DEFAULT '',
    finished BIGINT NOT NULL DEFAULT 0 CHECK (finished IN (0, 1)),
    note     TEXT   NOT NULL DEFAULT '', -- what it waits for, in one line
    version  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX candidate_open ON candidate (created) WHERE finished = 0;
CREATE INDEX candidate_created ON candidate (created);

CREATE TABLE cause (
    candidate TEXT   NOT NULL REFERENCES candidate (id),
    change    TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    summary   TEXT   NOT NULL,
    why       TEXT   NOT NULL,
    PRIMARY KEY (candidate, change)
);

CREATE TABLE step (
    key       TEXT   NOT NULL PRIMARY KEY,
    candidate TEXT   NOT NULL REFERENCES candidate (id),
    kind      TEXT   NOT NULL,
    request   TEXT   NOT NULL,
    state     TEXT   NOT NULL CHECK (state IN ('wanted', 'running', 'ending', 'succeeded', 'failed', 'cancelled')),
    handle    TEXT   NOT NULL DEFAULT '',
    output    TEXT   NOT NULL DEFAULT '',
    note      TEXT   NOT NULL DEFAULT '', -- progress, or the last fault, or the reason of the end
    attempt   BIGINT NOT NULL DEFAULT 0,
    due       BIGINT NOT NULL,
    deadline  BIGINT NOT NULL,
    created   BIGINT NOT NULL,
    updated   BIGINT NOT NULL,
    owner     TEXT   NOT NULL DEFAULT '',
    lease     BIGINT NOT NULL DEFAULT 0,
    fence     BIGINT NOT NULL DEFAULT 0,
    CHECK (state <> 'running' OR handle <> ''),
    CHECK (state <> 'succeeded' OR output <> '')
);
CREATE INDEX step_candidate ON step (candidate);
CREATE INDEX step_due ON step (due) WHERE state IN ('wanted', 'running', 'ending');

CREATE TABLE retry (
    candidate TEXT   NOT NULL REFERENCES candidate (id),
    base      TEXT   NOT NULL,
    times     BIGINT NOT NULL,
    PRIMARY KEY (candidate, base)
);

CREATE TABLE waiver (
    id       TEXT   NOT NULL PRIMARY KEY,
    recipe   TEXT   NOT NULL,
    fact     TEXT   NOT NULL,
    recorded BIGINT NOT NULL
);
CREATE INDEX waiver_recipe ON waiver (recipe);

CREATE TABLE hold (
    candidate TEXT   NOT NULL PRIMARY KEY REFERENCES candidate (id),
    who       TEXT   NOT NULL,
    why       TEXT   NOT NULL,
    recorded  BIGINT NOT NULL
);

CREATE TABLE installed (
    recipe  TEXT NOT NULL,
    package TEXT NOT NULL,
    nvra    TEXT NOT NULL,
    PRIMARY KEY (recipe, nvra)
);
CREATE INDEX installed_package ON installed (package);

CREATE TABLE stream_release (
    stream   TEXT   NOT NULL,
    recipe   TEXT   NOT NULL,
    release  TEXT   NOT NULL,
    promoted BIGINT NOT NULL,
    PRIMARY KEY (stream, recipe)
);

CREATE TABLE journal (
    seq       BIGINT NOT NULL,
    writer    TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    candidate TEXT   NOT NULL DEFAULT '',
    text      TEXT   NOT NULL,
    PRIMARY KEY (seq, writer)
);
CREATE INDEX journal_candidate ON journal (candidate, seq);

-- Who may plan: one process at a time, by a lease with a fence.
CREATE TABLE planner (
    name  TEXT   NOT NULL PRIMARY KEY,
    owner TEXT   NOT NULL,
    lease BIGINT NOT NULL,
    fence BIGINT NOT NULL
);
INSERT INTO planner (name, owner, lease, fence) VALUES ('planner', '', 0, 0);
