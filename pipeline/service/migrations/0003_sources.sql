-- Where changes come from, up to where each source is known, and who told of what first.

-- A place that answers for changes: a Koji tag, a package repository, a branch of definitions.
CREATE TABLE source (
    name     TEXT   NOT NULL PRIMARY KEY,
    kind     TEXT   NOT NULL CHECK (kind IN ('koji', 'packages', 'git')),
    position TEXT   NOT NULL DEFAULT '', -- everything up to here is recorded: an event, a revision (with a + when messages told of more), a commit; empty before the first look
    since    TEXT   NOT NULL DEFAULT '', -- what happened up to here happened before our time
    at       BIGINT NOT NULL DEFAULT 0,  -- when the position was reached there, as far as the source says
    swept    BIGINT NOT NULL DEFAULT 0,  -- the last sweep that was answered
    tried    BIGINT NOT NULL DEFAULT 0,  -- the last sweep, answered or not
    fault    TEXT   NOT NULL DEFAULT '', -- why the last one was not
    bus      BIGINT NOT NULL DEFAULT 0,  -- what was pruned from heard: first heard by a message,
    late     BIGINT NOT NULL DEFAULT 0,  -- first found by a sweep, and the message came soon,
    lost     BIGINT NOT NULL DEFAULT 0   -- or it did not
);

-- What happened at a source, under a name that is the same whoever tells of it.
CREATE TABLE heard (
    source TEXT   NOT NULL,
    name   TEXT   NOT NULL,
    label  TEXT   NOT NULL, -- as much of the name as a message can say
    at     BIGINT NOT NULL,
    bus    BIGINT NOT NULL DEFAULT 0, -- when a message spoke of it first
    sweep  BIGINT NOT NULL DEFAULT 0, -- when a sweep found it, if no message was quicker
    change TEXT   NOT NULL DEFAULT '', -- the change that told of it; empty for what was there before our time
    event  BIGINT NOT NULL DEFAULT 0, -- the number that a hub gave it
    PRIMARY KEY (source, name)
);
CREATE INDEX heard_label ON heard (source, label);
CREATE INDEX heard_at ON heard (at);

-- What messages spoke of that could not be found there yet, or that touched nothing.
CREATE TABLE said (
    source TEXT   NOT NULL,
    label  TEXT   NOT NULL,
    at     BIGINT NOT NULL,
    PRIMARY KEY (source, label)
);

-- The builds that a package repository is known to hold.
CREATE TABLE held (
    source TEXT NOT NULL,
    build  TEXT NOT NULL,
    PRIMARY KEY (source, build)
);

-- What is old enough to be removed is found without looking at everything.
CREATE INDEX inbox_digested ON inbox (digested) WHERE digested <> 0;
