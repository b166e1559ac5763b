//! `takt plan`: write, sign, compare and publish plans.
//!
//! One module per task, none of which knows of another: files and their kinds, keys, comparison, the agent.

mod agent;
mod diff;
mod files;
mod keys;
mod local;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

/// Work on plans: check, sign, compare, publish.
///
/// There are two kinds. A site's own plan is a TOML file with `[[unit]]`
/// sections beside the site file, read at the start and at SIGHUP. A scheduling
/// plan comes from outside, is signed, and has a `target`; JSON or TOML. An agent
/// with a `[plans]` section takes it over a Unix socket.
///
/// From nothing to an active plan:
///
///   takt plan keygen centre        makes centre.key and centre.pem
///   (copy centre.pem into the agent's folder of keys, start the agent)
///   takt plan check evening.toml
///   takt plan sign evening.toml --key centre.key --output evening.json
///   takt plan publish evening.json --socket state/plans.sock --wait
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a plan file of either kind, and print what it demands.
    ///
    /// Checks all that can be known without a site: syntax, names, numbers, digest; with --keys also the
    /// signature. Whether units exist and limits fit is checked by the agent when the plan is published, and for
    /// the site's own plan by `takt-agent --config SITE --check`.
    ///
    /// Exit codes: 0 the plan is sound, 2 it is not.
    Check {
        /// The plan: TOML, or JSON.
        file: PathBuf,
        /// A folder of public keys, `*.pem`: the plan must be signed with one of them.
        #[arg(long, value_name = "FOLDER")]
        keys: Option<PathBuf>,
        /// Print the plan as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Sign a scheduling plan.
    ///
    /// What is signed is the plan's canonical form (RFC 8785), so that it does not matter how the file is laid
    /// out, or what an API server makes of it. The result is JSON: the plan, its SHA-256 digest, and an ed25519
    /// signature.
    ///
    /// Exit codes: 0 done, 2 the plan or the key cannot be used.
    Sign {
        /// The plan: TOML or JSON, with or without an older signature.
        file: PathBuf,
        /// The private key, PKCS#8 in PEM: of `takt plan keygen`, or of `openssl genpkey -algorithm ed25519`.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Where to write the signed plan; left out: standard output.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Print epoch, digest and key as JSON; needs --output.
        #[arg(long, requires = "output")]
        json: bool,
    },
    /// Make a pair of keys: NAME.key, which signs and is to be kept secret, and NAME.pem, which agents trust.
    ///
    /// Exit codes: 0 done, 2 a file is there already or cannot be written.
    Keygen {
        /// Name of the two files, with their folder.
        name: PathBuf,
        /// Print the key's id and the files' names as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compare two scheduling plans by what they say, not by how they are written.
    ///
    /// Also says how many bytes the new plan takes as a change of the old one.
    ///
    /// Exit codes: 0 they say the same, 1 they differ, 2 one cannot be read.
    Diff {
        /// The older plan.
        old: PathBuf,
        /// The newer plan.
        new: PathBuf,
        /// Print the changes as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Offer a signed plan to an agent.
    ///
    /// In a pair, publish to both nodes: the active one waits 2 s for the other to hold the plan too. Offering a
    /// plan again does no harm: the answer says what became of it.
    ///
    /// Exit codes: 0 the plan was taken (with --wait: it has proved itself, or is on trial), 1 it was refused or
    /// given up, 2 the file cannot be read, 3 no agent answers.
    Publish {
        /// The signed plan, JSON.
        file: PathBuf,
        #[command(flatten)]
        agent: agent::Socket,
        /// Wait until the plan is in force, or given up.
        #[arg(long)]
        wait: bool,
        /// Print the answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the plans of an agent: in force, last known good, staged, given up.
    ///
    /// Exit codes: 0 all is well, 1 something is degraded, 3 no agent answers.
    Status {
        #[command(flatten)]
        agent: agent::Socket,
        /// Print the status as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give up a plan that is staged or on trial: the last known good one runs on the next cycle.
    ///
    /// Exit codes: 0 done, 1 refused, 3 no agent answers.
    Rollback {
        /// The plan's epoch.
        epoch: u32,
        #[command(flatten)]
        agent: agent::Socket,
        /// Print the answer as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> ExitCode {
    let (name, result) = match &args.command {
        Command::Check { file, keys, json } => ("check", files::check(file, keys.as_deref(), *json)),
        Command::Sign { file, key, output, json } => {
            ("sign", keys::sign(file, key, output.as_deref(), *json))
        }
        Command::Keygen { name, json } => ("keygen", keys::generate(name, *json)),
        Command::Diff { old, new, json } => ("diff", diff::run(old, new, *json)),
        Command::Publish { file, agent, wait, json } => {
            ("publish", agent::publish(file, agent, *wait, *json))
        }
        Command::Status { agent, json } => ("status", agent::status(agent, *json)),
        Command::Rollback { epoch, agent, json } => ("rollback", agent::rollback(*epoch, agent, *json)),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("takt plan {name}: {error}");
            ExitCode::from(error.code())
        }
    }
}

/// Why a task cannot be done.
#[derive(Debug, thiserror::Error)]
enum PlanError {
    /// A file with a place to look at.
    #[error("{0}")]
    Text(#[from] hal_diagnostics::Diagnostic),
    /// A file that holds something else than it should.
    #[error("{path}: {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Nobody listens, or somebody else.
    #[error(
        "{socket}: no agent answers for plans ({error})\n  remedy: give the [plans] socket of a running agent with \
         --socket; it is plans.sock in its state_dir, unless its site file says otherwise"
    )]
    NoAgent {
        /// The socket.
        socket: PathBuf,
        /// What happened.
        error: std::io::Error,
    },
}

impl PlanError {
    fn file(path: &std::path::Path, what: impl ToString) -> Self {
        Self::File { path: path.to_owned(), what: what.to_string() }
    }

    fn code(&self) -> u8 {
        match self {
            Self::Text(_) | Self::File { .. } => 2,
            Self::NoAgent { .. } => 3,
        }
    }
}
