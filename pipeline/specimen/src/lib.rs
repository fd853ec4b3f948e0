//! One small recipe, and what is made of it, for the tests of every crate. Never shipped.
//!
//! A test takes what it finds here and changes what it is about. It knows the words of `flow` and nothing else, so that
//! the tests of `flow` can use it too.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_flow::build::BuildRequest;
use muster_flow::candidate::{Candidate, CandidateId, Decisions, Life, Purpose, Steps};
use muster_flow::gate::{Policy, Waiver};
use muster_flow::recipe::{
    Builder, Cell, Definition, DefinitionFile, Destination, DestinationKind, Firmware, Form, Machine, Matrix,
    Metadata, Packages, Product, Recipe,
};
use muster_flow::smoketest::{Applies, Before, Test, Weight};

/// A disk image for one architecture that is booted in two cells and goes to two destinations.
pub fn recipe(name: &str) -> Recipe {
    Recipe {
        name: name.to_owned(),
        image: "Lab".to_owned(),
        summary: "An image of the lab".to_owned(),
        owner: "lab".to_owned(),
        definition: DefinitionFile {
            file: format!("{name}.ks"),
            repository: "kickstarts".to_owned(),
            branch: String::new(),
        },
        product: Product::Disk,
        builder: Builder::Local,
        koji: muster_flow::koji::KojiTask::default(),
        version: "43".to_owned(),
        arches: vec!["x86_64".to_owned()],
        packages: Packages { tags: vec!["f43".to_owned()], ..Packages::default() },
        smoketests: Matrix {
            cells: vec![cell("bios", Firmware::Bios), cell("uefi", Firmware::Uefi)],
            ..Matrix::default()
        },
        gate: Policy::default(),
        stream: "stable".to_owned(),
        destinations: vec![destination("mirror", name), destination("archive", name)],
    }
}

/// A cell for a qcow2 image.
pub fn cell(name: &str, firmware: Firmware) -> Cell {
    Cell {
        name: name.to_owned(),
        artifact: Form::Qcow2,
        firmware,
        machine: Machine::Q35,
        metadata: Metadata::NoCloud,
        memory_mib: 512,
        disk_mib: 0,
    }
}

/// A mirror for qcow2 images.
pub fn destination(name: &str, path: &str) -> Destination {
    Destination {
        name: name.to_owned(),
        kind: DestinationKind::Mirror,
        takes: Form::Qcow2,
        path: path.to_owned(),
    }
}

/// A gating test.
pub fn test(name: &str) -> Test {
    Test {
        name: name.to_owned(),
        summary: format!("{name} is well"),
        weight: Weight::Gating,
        forms: vec![Form::Qcow2, Form::Oci],
        time_limit_s: 60,
        order: 0,
        applies: Applies::Always,
        before: Before::Nothing,
        script: "true".to_owned(),
        expected_failure: None,
    }
}

/// A disk of the version 43 that is wanted of some builder, of two kickstarts one of which includes the other.
pub fn build_request(arch: &str) -> BuildRequest {
    let texts = [
        ("lab.ks", "%include base.ks\nrootpw --lock\n"),
        ("base.ks", "lang en_US.UTF-8\n%packages\nbash\n%end\n"),
    ];
    let texts = texts.map(|(file, text)| (file.to_owned(), text.to_owned()));
    BuildRequest {
        recipe: "lab".to_owned(),
        definition: Definition {
            file: "lab.ks".to_owned(),
            commit: String::new(),
            texts: BTreeMap::from(texts),
        },
        product: Product::Disk,
        packages: Packages::default(),
        arch: arch.to_owned(),
        version: "43".to_owned(),
        file_stem: format!("Lab-43-20261121.0.{arch}"),
        source_date_epoch: 1_790_000_000,
        koji: None,
        imagefactory: None,
        composed: None,
        allowed: muster_flow::build::Allowed::default(),
    }
}

/// The first candidate of a recipe on 21 November 2026. It has started, and nothing has been done for it.
pub fn candidate(recipe: Recipe, purpose: Purpose) -> Candidate {
    Candidate {
        id: CandidateId::new(&recipe.name, &recipe.version, "20261121", 0),
        definition: Definition { file: recipe.definition.file.clone(), ..Definition::default() },
        recipe,
        tests: vec![test("boots")],
        purpose,
        created: Timestamp::UNIX_EPOCH,
        changes: Vec::new(),
        life: Life::Started { at: Timestamp::UNIX_EPOCH },
        batch: None,
        steps: Steps::default(),
        decisions: Decisions::default(),
    }
}

/// An exception for the test `boots` in every cell of every candidate of a recipe.
pub fn waiver(recipe: &str, expires: Timestamp) -> Waiver {
    Waiver {
        id: "w1".to_owned(),
        recipe: recipe.to_owned(),
        candidate: None,
        test: "boots".to_owned(),
        cell: None,
        reason: "the lab has no power".to_owned(),
        author: "ada".to_owned(),
        expires,
        ended: None,
    }
}
