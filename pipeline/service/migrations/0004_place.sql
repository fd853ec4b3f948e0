-- Where a step is done: builds elsewhere (on Koji, say) take nothing of this machine's room.
ALTER TABLE step ADD COLUMN place TEXT NOT NULL DEFAULT '';
UPDATE step SET place = 'elsewhere' WHERE kind = 'build' AND (handle LIKE 'koji:%' OR request LIKE '%"koji":{%');
