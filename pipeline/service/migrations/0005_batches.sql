-- Batches: frozen package sets that releases are built from, each with a gate of its own.

CREATE TABLE batch (
    id      TEXT   NOT NULL PRIMARY KEY,
    stream  TEXT   NOT NULL,
    source  TEXT   NOT NULL,
    change  TEXT   NOT NULL, -- what called for it
    frozen  BIGINT NOT NULL,
    fact    TEXT   NOT NULL, -- policy, and the batch it was compared with
    members TEXT   NOT NULL, -- what differs from the batch before; it may be large
    verdict TEXT   NOT NULL DEFAULT '', -- what its gate said last
    UNIQUE (change, stream, source)
);
CREATE INDEX batch_source ON batch (stream, source, frozen);

-- What a batch is made of, from one moment on.
CREATE TABLE batch_revision (
    batch    TEXT   NOT NULL REFERENCES batch (id),
    number   BIGINT NOT NULL,
    fact     TEXT   NOT NULL,
    recorded BIGINT NOT NULL,
    PRIMARY KEY (batch, number)
);

ALTER TABLE candidate ADD COLUMN batch TEXT NOT NULL DEFAULT '';
CREATE INDEX candidate_batch ON candidate (batch) WHERE batch <> '';
