//! A small recipe and a candidate of it.

use jiff::Timestamp;
use muster_flow::candidate::{Candidate, CandidateId, Decisions, Life, Purpose, Steps};
use muster_flow::gate::Policy;
use muster_flow::recipe::{
    Builder, Cell, Definition, DefinitionFile, Destination, DestinationKind, Firmware, Form, Machine, Matrix,
    Metadata, Packages, Product, Recipe,
};
use muster_flow::smoketest::{Before, Test, Weight};

/// A small recipe: one build, two cells, two destinations.
pub fn recipe() -> Recipe {
    let cell = |name: &str| Cell {
        name: name.to_owned(),
        artifact: Form::Qcow2,
        firmware: Firmware::Bios,
        machine: Machine::Q35,
        metadata: Metadata::NoCloud,
        memory_mib: 512,
        disk_mib: 0,
    };
    let destination = |name: &str| Destination {
        name: name.to_owned(),
        kind: DestinationKind::Mirror,
        takes: Form::Qcow2,
        path: "images".to_owned(),
    };
    Recipe {
        name: "cloud".to_owned(),
        image: "Cloud".to_owned(),
        summary: String::new(),
        owner: String::new(),
        definition: DefinitionFile {
            file: "cloud.ks".to_owned(),
            repository: String::new(),
            branch: String::new(),
        },
        product: Product::Disk,
        builder: Builder::Local,
        version: "43".to_owned(),
        arches: vec!["x86_64".to_owned()],
        packages: Packages::default(),
        smoketests: Matrix { cells: vec![cell("bios"), cell("uefi")], ..Matrix::default() },
        gate: Policy::default(),
        stream: "stable".to_owned(),
        destinations: vec![destination("mirror"), destination("archive")],
    }
}

/// A candidate that has started.
pub fn candidate(purpose: Purpose) -> Candidate {
    let test = Test {
        name: "boots".to_owned(),
        summary: "it boots".to_owned(),
        weight: Weight::Gating,
        forms: vec![Form::Qcow2],
        time_limit_s: 1,
        order: 0,
        applies: muster_flow::smoketest::Applies::Always,
        before: Before::Nothing,
        script: "true".to_owned(),
        expected_failure: None,
    };
    Candidate {
        id: CandidateId("cloud/43.20261121.0".to_owned()),
        recipe: recipe(),
        definition: Definition::default(),
        tests: vec![test],
        purpose,
        created: Timestamp::UNIX_EPOCH,
        changes: Vec::new(),
        life: Life::Started { at: Timestamp::UNIX_EPOCH },
        steps: Steps::default(),
        decisions: Decisions::default(),
    }
}
