-- Searches for what made a candidate red.

CREATE TABLE inquiry (
    candidate  TEXT   NOT NULL PRIMARY KEY REFERENCES candidate (id),
    good       TEXT   NOT NULL REFERENCES candidate (id),
    facts      TEXT   NOT NULL, -- what was red, who asked, how many probes it may make
    recorded   BIGINT NOT NULL,
    conclusion TEXT   NOT NULL DEFAULT '' -- what was found; empty while it goes on
);
CREATE INDEX inquiry_open ON inquiry (recorded) WHERE conclusion = '';

-- The candidate that a probe is made for; empty for whatever is not a probe.
ALTER TABLE candidate ADD COLUMN probe_of TEXT NOT NULL DEFAULT '';
CREATE INDEX candidate_probe_of ON candidate (probe_of) WHERE probe_of <> '';

-- What is begun later although it is due: 0 before 1.
ALTER TABLE step ADD COLUMN rank BIGINT NOT NULL DEFAULT 0;
