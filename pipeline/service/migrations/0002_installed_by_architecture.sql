-- The packages of a recipe are known for each architecture: a build of one no longer wipes out those of another.
-- What was recorded before belongs to no architecture, and goes with the next build of its recipe.
CREATE TABLE installed_by_arch (
    recipe  TEXT NOT NULL,
    arch    TEXT NOT NULL DEFAULT '',
    package TEXT NOT NULL,
    nvra    TEXT NOT NULL,
    PRIMARY KEY (recipe, arch, nvra)
);
INSERT INTO installed_by_arch (recipe, package, nvra) SELECT recipe, package, nvra FROM installed;
DROP TABLE installed;
ALTER TABLE installed_by_arch RENAME TO installed;
CREATE INDEX installed_package ON installed (package);
