//! The command line: one file per subcommand.
//!
//! A command reads the store or adds a fact to it, and says what came of it in words or as JSON. It must not know SQL,
//! and it decides nothing about a candidate: the service does, when it sees the fact.

pub mod call;
pub mod output;
mod find;
mod log;
mod serve;
mod status;
mod watch;
mod show;
mod diff;
mod blame;
mod explain;
mod trigger;
mod release;
mod batch;
mod retry;
mod waive;
mod waivers;
mod hold;
mod cancel;
mod config;
mod parked;
mod kickstart;
mod job;
mod completions;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use call::{Call, Ending, Failure, Format};

/// Turns changes into cloud images that have been booted, tested and published.
#[derive(Debug, Parser)]
#[command(name = "muster", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// The configuration; muster.toml in this folder when it is there, else everything on one machine.
    #[arg(long, global = true, env = "MUSTER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say it as JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    /// The name under which facts are recorded; the login name when it is not given.
    #[arg(long = "as", global = true, env = "MUSTER_USER", value_name = "NAME")]
    person: Option<String>,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it could not be done; the message says what to do next
  2  the command line was not understood
  3  there is nothing by that name
  4  the answer is no: a candidate did not pass, a check found faults

A candidate is named by its id, such as cloud-base/43.20261121.0, or by its recipe, which means
its newest candidate. `muster COMMAND --help` shows examples.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service: engine, pages, mirror.
    Serve(serve::Args),
    /// What is on its way, what is stuck, what is published.
    Status(status::Args),
    /// Follow live what happens.
    Watch(watch::Args),
    /// One candidate: where it stands, why, what next and who must act.
    Show(show::Args),
    /// How the packages of two candidates differ.
    Diff(diff::Args),
    /// What made a candidate red: suspects, probes, and what they have shown.
    Blame(blame::Args),
    /// What a message of the bus would do, and why, without doing it.
    Explain(explain::Args),
    /// Ask for a scratch candidate of a recipe.
    Trigger(trigger::Args),
    /// Ask for a release of a stream or a recipe.
    Release(release::Args),
    /// The frozen package sets of releases: list, show, eject a member, judge again.
    Batch(batch::Args),
    /// Try a step again.
    Retry(retry::Args),
    /// Except a test from the gate: who, why and until when.
    Waive(waive::Args),
    /// End a waiver before it runs out.
    Unwaive(waivers::UnwaiveArgs),
    /// The waivers that are in force, and those that ended lately.
    Waivers(waivers::Args),
    /// Keep a candidate from being promoted.
    Hold(hold::HoldArgs),
    /// End the holds of a candidate.
    Unhold(hold::UnholdArgs),
    /// Stop a candidate.
    Cancel(cancel::Args),
    /// Messages that could not be understood: list, show, replay, drop.
    Parked(parked::Args),
    /// Look at the configuration.
    Config(config::Args),
    /// Work with kickstarts.
    Kickstart(kickstart::Args),
    /// Print completions for a shell.
    Completions(completions::Args),
    /// The process of one job; the service starts it.
    #[command(hide = true)]
    Job(job::Args),
}

/// Reads the command line and does what it says.
pub async fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = if cli.json { Format::Json } else { Format::Words };
    match Box::pin(run(cli, format)).await {
        Ok(ending) => ending.code(),
        Err(failure) => {
            failure.report(format);
            failure.code()
        }
    }
}

async fn run(cli: Cli, format: Format) -> Result<Ending, Failure> {
    if let Command::Completions(args) = &cli.command {
        return completions::run(args);
    }
    if let Command::Kickstart(args) = &cli.command {
        return kickstart::run(args, format);
    }
    if let Command::Job(args) = &cli.command
        && args.kind == job::Kind::Imds
    {
        return job::answer(args);
    }
    let call = Call::new(cli.config, cli.person, format)?;
    match cli.command {
        Command::Serve(_) => Box::pin(serve::run(call)).await,
        Command::Status(args) => status::run(&call, &args).await,
        Command::Watch(args) => watch::run(&call, &args).await,
        Command::Show(args) => show::run(&call, &args).await,
        Command::Diff(args) => diff::run(&call, &args).await,
        Command::Blame(args) => blame::run(&call, &args).await,
        Command::Explain(args) => explain::run(&call, &args).await,
        Command::Trigger(args) => trigger::run(&call, args).await,
        Command::Release(args) => release::run(&call, args).await,
        Command::Batch(args) => batch::run(&call, &args).await,
        Command::Retry(args) => retry::run(&call, &args).await,
        Command::Waive(args) => waive::run(&call, args).await,
        Command::Unwaive(args) => waivers::unwaive(&call, args).await,
        Command::Waivers(args) => waivers::list(&call, &args).await,
        Command::Hold(args) => hold::hold(&call, &args).await,
        Command::Unhold(args) => hold::unhold(&call, &args).await,
        Command::Cancel(args) => cancel::run(&call, &args).await,
        Command::Parked(args) => parked::run(&call, &args).await,
        Command::Config(args) => config::run(&call, &args).await,
        Command::Job(args) => job::run(&call, &args).await,
        Command::Kickstart(_) | Command::Completions(_) => Ok(Ending::Done),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The examples that the help of a command, and of those below it, gives.
    fn examples(command: &clap::Command) -> Vec<String> {
        let help = command
            .get_after_help()
            .map(|help| help.to_string().replace("\\\n      ", ""))
            .unwrap_or_default();
        let own = help.lines().flat_map(|line| line.split("&& ")).map(str::trim);
        let own = own.filter(|line| line.starts_with("muster ")).map(str::to_owned);
        own.chain(command.get_subcommands().flat_map(examples)).collect()
    }

    /// The words of an example, up to what belongs to the shell or to the reader.
    fn words(example: &str) -> Vec<String> {
        let example = example.split("    ").next().unwrap_or_default();
        let mut words = Vec::new();
        for (number, part) in example.split('\'').enumerate() {
            if number % 2 == 1 {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().map(str::to_owned));
            }
        }
        let end = words.iter().position(|word| ["|", ">", "<", "&&"].contains(&word.as_str()));
        words.truncate(end.unwrap_or(words.len()));
        words
    }

    #[test]
    fn every_example_of_the_help_is_understood_and_names_what_is_there() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let recipe = std::fs::read_to_string(root.join("kickstarts/cloud-base.toml")).unwrap();
        let examples = examples(&Cli::command());
        assert!(examples.len() > 25, "{examples:#?}");
        for example in examples {
            let words = words(&example);
            Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{example}: {error}"));
            let cell = words.iter().skip_while(|word| *word != "--cell").nth(1).map(String::as_str);
            let of_key = words.iter().filter(|word| word.contains("/smoketest/"));
            for cell in cell.into_iter().chain(of_key.filter_map(|key| key.rsplit('/').next())) {
                assert!(recipe.contains(&format!("name = {cell:?}")), "{example}: there is no cell {cell}");
            }
            if words[1] == "waive" {
                let test = root.join(format!("smoketests/{}.toml", words[2]));
                assert!(test.exists(), "{example}: there is no smoketest {}", words[2]);
            }
            for file in words.iter().filter(|word| word.starts_with("kickstarts/")) {
                assert!(root.join(file).exists(), "{example}: there is no {file}");
            }
        }
    }
}
