//! What `docs/configuration.md` says, held to what is really read: each example, each table's keys, each default.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use muster::calendar::Calendar;
use muster::config::Settings;
use muster_flow::koji::KojiTask;
use muster_flow::recipe::Recipe;
use serde::Deserialize;
use serde::de::DeserializeOwned;

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)).unwrap()
}

/// The recipe's section that says how Koji builds it, alone, as the guide shows it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Koji {
    #[expect(dead_code, reason = "only its reading is of interest")]
    koji: KojiTask,
}

fn read<T: DeserializeOwned>(text: &str) -> T {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Reads an example by what it is: a recipe, a part of one, or a configuration.
fn read_example(text: &str) {
    let table: toml::Table = read(text);
    if table.contains_key("definition") {
        read::<Recipe>(text);
    } else if table.get("koji").is_some_and(|koji| koji.get("task").is_some()) {
        read::<Koji>(text);
    } else {
        let settings: Settings = read(text);
        Calendar::new(&settings.streams).unwrap();
        if let Some(bus) = &settings.bus {
            bus.check().unwrap();
        }
        if let Some(koji) = &settings.koji {
            assert_eq!(koji.faults(), [""; 0]);
        }
    }
}

#[test]
fn every_example_of_the_documentation_can_be_read() {
    for (name, least) in [("configuration.md", 2), ("guide.md", 8)] {
        let page = page(name);
        let examples: Vec<_> =
            page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert!(examples.len() >= least, "{name} has {} examples", examples.len());
        examples.into_iter().for_each(read_example);
    }
}

#[test]
fn every_window_of_the_documentation_opens_when_it_is_said_to() {
    let page = page("configuration.md");
    let next = |window: &str| {
        assert!(page.contains(&format!("`\"{window}\"`")), "{window} is in the documentation no more");
        let settings: Settings = read(&format!("[streams.stable]\nwindow = {window:?}"));
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        Calendar::new(&settings.streams).unwrap().next("stable", now).unwrap().to_string()
    };
    assert_eq!(next("0 0 6 * * Tue"), "2026-11-24T06:00:00Z");
    assert_eq!(next("0 30 4 1 * *"), "2026-12-01T04:30:00Z");
}

/// A table of the page: the section that it is about and its rows.
struct Section {
    /// Its header as TOML has it, with the line that says of which kind it is; empty for a recipe's own keys.
    header: String,
    /// Its dotted name.
    name: String,
    rows: Vec<Row>,
}

struct Row {
    key: String,
    kind: String,
    default: String,
}

fn sections(text: &str) -> Vec<Section> {
    let sections = text.split("\n### ").skip(1).map(|part| {
        let (heading, body) = part.split_once('\n').unwrap();
        let header: Vec<&str> = heading.split('`').skip(1).step_by(2).collect();
        let name = header.first().map(|name| name.trim_matches(['[', ']']).to_owned()).unwrap_or_default();
        let rows = body.lines().filter(|line| line.starts_with("| `")).map(|line| {
            let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
            assert_eq!(cells.len(), 4, "{line}");
            let [key, kind, default] = [cells[0], cells[1], cells[2]].map(str::to_owned);
            Row { key: key.trim_matches('`').to_owned(), kind, default }
        });
        Section { header: header.join("\n"), name, rows: rows.collect() }
    });
    sections.collect()
}

impl Section {
    /// What must stand before it, so that the whole can be read.
    fn before(&self, is_recipe: bool) -> &'static str {
        match self.name.as_str() {
            "koji.login" => "[koji]\nhub = ''\ntopurl = ''\nweburl = ''\n",
            "imagefactory.oauth" => "[imagefactory]\nurl = ''\ninstall_tree = ''\n",
            "definition" => "name = 'a'\nimage = 'a'\nproduct = 'disk'\nversion = '1'\n",
            name if is_recipe && !name.is_empty() => {
                "name = 'a'\nimage = 'a'\nproduct = 'disk'\nversion = '1'\ndefinition = { file = 'a.ks' }\n"
            }
            _ => "",
        }
    }

    /// The whole with the keys that must be there, and others.
    fn text(&self, is_recipe: bool, others: &str) -> String {
        let required = self.rows.iter().filter(|row| row.default == "required");
        let required: Vec<String> = required.map(|row| format!("{} = {}\n", row.key, sample(row))).collect();
        let required = required.concat();
        format!("{}{}\n{required}{others}", self.before(is_recipe), self.header)
    }

    /// The keys that the reader knows, from what it says of one that it does not know.
    fn known<T: DeserializeOwned + Debug>(&self, is_recipe: bool) -> BTreeSet<String> {
        let text = self.text(is_recipe, "no_such_key = 1\n");
        let error = toml::from_str::<T>(&text).unwrap_err().message().to_owned();
        let expected =
            error.split_once("`no_such_key`, expected ").unwrap_or_else(|| panic!("{error}\n{text}"));
        expected.1.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    fn check<T: DeserializeOwned + Debug>(&self, is_recipe: bool) {
        let keys: BTreeSet<String> = self.rows.iter().map(|row| row.key.clone()).collect();
        assert_eq!(keys, self.known::<T>(is_recipe), "{}", self.header);
        let defaults = self.rows.iter().filter(|row| row.default.starts_with('`'));
        let defaults: Vec<String> =
            defaults.map(|row| format!("{} = {}\n", row.key, row.default.trim_matches('`'))).collect();
        let without: T = read(&self.text(is_recipe, ""));
        let with: T = read(&self.text(is_recipe, &defaults.concat()));
        assert_eq!(format!("{with:?}"), format!("{without:?}"), "{}", self.header);
        let is_said =
            |row: &Row| row.default.starts_with('`') || ["required", "–"].contains(&row.default.as_str());
        assert!(self.rows.iter().all(is_said), "{}", self.header);
    }
}

/// A value of a key's type.
fn sample(row: &Row) -> String {
    match (row.key.as_str(), row.kind.as_str()) {
        ("login", "section") => "{ kind = 'kerberos' }".to_owned(),
        ("definition", "section") => "{ file = 'a.ks' }".to_owned(),
        (_, "true or false") => "true".to_owned(),
        (_, "table") => "{}".to_owned(),
        (_, "list of texts") => "[]".to_owned(),
        // The first of the words that it may be.
        (_, kind) => format!("{:?}", kind.split('`').nth(1).unwrap_or("a")),
    }
}

#[test]
fn the_documentation_has_every_key_with_its_default_and_no_other() {
    let page = page("configuration.md");
    let (settings, recipes) = page.split_once("\n## Recipes").unwrap();
    let sections_of_settings = sections(settings);
    let named: BTreeSet<String> = sections_of_settings
        .iter()
        .map(|section| section.name.split('.').next().unwrap().to_owned())
        .collect();
    let everything = Section { header: String::new(), name: String::new(), rows: Vec::new() };
    assert_eq!(named, everything.known::<Settings>(false));
    for section in &sections_of_settings {
        section.check::<Settings>(false);
    }
    let sections_of_recipes = sections(recipes);
    assert!(sections_of_recipes.len() > 5);
    for section in &sections_of_recipes {
        section.check::<Recipe>(true);
    }
}

#[test]
fn a_batch_has_at_least_a_day_and_at_most_a_year() {
    let read = |days: &str| toml::from_str::<Settings>(&format!("[streams.stable.batch]\ndays = {days}\n"));
    for days in ["1", "365"] {
        assert!(read(days).is_ok(), "{days}");
    }
    for days in ["0", "-1", "366", "9223372036854775807"] {
        let error = read(days).unwrap_err().to_string();
        assert!(error.contains(&format!("at least 1 and at most 365, not {days}")), "{error}");
    }
}
