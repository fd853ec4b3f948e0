//! What came of a step, in one line for a person.

use muster_flow::announce::Announced;
use muster_flow::build::BuildOutput;
use muster_flow::publish::{PromoteOutput, UploadOutput, VerifyOutput};
use muster_flow::smoketest::{Colour, SmoketestOutput};

pub fn build(output: &BuildOutput) -> String {
    let names: Vec<&str> = output.artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
    format!("{} packages in {}", output.packages.len(), names.join(", "))
}

pub fn smoketest(output: &SmoketestOutput) -> String {
    let count =
        |wanted: fn(&Colour) -> bool| output.results.iter().filter(|result| wanted(&result.colour)).count();
    let green = count(|colour| matches!(colour, Colour::Green));
    let not_run = count(|colour| matches!(colour, Colour::NotRun(_)));
    let red: Vec<String> = output
        .results
        .iter()
        .filter_map(|result| match &result.colour {
            Colour::Red(why) => Some(format!("{} ({why})", result.name)),
            Colour::Green | Colour::NotRun(_) => None,
        })
        .collect();
    let mut text = format!("{green} green");
    if !red.is_empty() {
        text = format!("{text}, {} red: {}", red.len(), red.join(", "));
    }
    if not_run > 0 {
        text = format!("{text}, {not_run} did not run");
    }
    format!(
        "{text}; {}, login after {}.{} s",
        output.place,
        output.boot_ms / 1000,
        output.boot_ms % 1000 / 100
    )
}

pub fn upload(output: &UploadOutput) -> String {
    let names: Vec<&str> = output.uploaded.iter().map(|uploaded| uploaded.name.as_str()).collect();
    names.join(", ")
}

pub fn verify(output: &VerifyOutput) -> String {
    output.checked.join("; ")
}

pub fn promote(output: &PromoteOutput) -> String {
    output.pointers.join("; ")
}

pub fn announce(output: &Announced) -> String {
    format!("message {}", output.message_id)
}
