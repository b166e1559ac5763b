//! The agent's socket for plans.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_plan::PlanId;
use agent_plan::document::SignedPlan;
use agent_plan::wire::{
    Answer, Ask, PlanEntry, PlanStatus, RollbackAsk, Stage, Verdict, read_frame, write_frame,
};

use super::PlanError;
use super::files::{self, PlanFile};

/// An agent answers an offer when the plan is on disk, and waits a little for one that is being activated.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How often the status is asked while waiting.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Where the agent takes plans.
#[derive(Debug, clap::Args)]
pub(super) struct Socket {
    /// The agent's socket for plans: plans.sock in its `state_dir`, unless the site file names another.
    #[arg(long, value_name = "PATH", default_value = "/var/lib/takt/plans.sock")]
    socket: PathBuf,
}

impl Socket {
    fn ask(&self, ask: &Ask) -> Result<Answer, PlanError> {
        exchange(&self.socket, ask).map_err(|error| PlanError::NoAgent { socket: self.socket.clone(), error })
    }

    fn status(&self) -> Result<PlanStatus, PlanError> {
        match self.ask(&Ask::Status)? {
            Answer::Status(status) => Ok(*status),
            Answer::Verdict(_) | Answer::Plan(_) | Answer::Fleet(_) | Answer::Done => Err(self.strange()),
        }
    }

    fn verdict(&self, ask: &Ask) -> Result<Verdict, PlanError> {
        match self.ask(ask)? {
            Answer::Verdict(verdict) => Ok(verdict),
            Answer::Status(_) | Answer::Plan(_) | Answer::Fleet(_) | Answer::Done => Err(self.strange()),
        }
    }

    fn strange(&self) -> PlanError {
        let error = std::io::Error::other("an answer to another question");
        PlanError::NoAgent { socket: self.socket.clone(), error }
    }
}

fn exchange(socket: &Path, ask: &Ask) -> std::io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    let (kind, body) = ask.encode();
    write_frame(&mut stream, kind, &body)?;
    Answer::decode(&read_frame(&mut stream)?).map_err(std::io::Error::other)
}

/// `takt plan publish`.
pub(super) fn publish(file: &Path, socket: &Socket, wait: bool, json: bool) -> Result<u8, PlanError> {
    let signed: SignedPlan = match files::read(file)? {
        PlanFile::Signed(signed) => signed,
        PlanFile::Bare(_) => return Err(PlanError::file(file, "unsigned: sign it with `takt plan sign`")),
        PlanFile::Local(_) => {
            return Err(PlanError::file(
                file,
                "a site's own plan: name it in the site file, and send SIGHUP",
            ));
        }
    };
    let id = signed.id();
    let mut verdict = socket.verdict(&Ask::Offer(signed.to_json()))?;
    if wait && let Verdict::Taken { stage: Stage::Staged, .. } = verdict {
        verdict = wait_for(id, socket)?;
    }
    Ok(tell(&verdict, json))
}

/// Waits until a plan that was staged is in force, or given up.
fn wait_for(id: PlanId, socket: &Socket) -> Result<Verdict, PlanError> {
    loop {
        let status = socket.status()?;
        let is_it = |entry: &&PlanEntry| entry.epoch == id.epoch && entry.digest == Some(id.digest);
        if let Some(entry) = Some(&status.in_force).filter(is_it) {
            return Ok(Verdict::Taken { id, stage: entry.stage });
        }
        if let Some(entry) = status.given_up.as_ref().filter(is_it) {
            return Ok(match &entry.refusal {
                Some(refusal) => Verdict::Refused { refusal: refusal.clone() },
                None => Verdict::Taken { id, stage: entry.stage },
            });
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// `takt plan rollback`.
pub(super) fn rollback(epoch: u32, socket: &Socket, json: bool) -> Result<u8, PlanError> {
    let verdict = socket.verdict(&Ask::Rollback(RollbackAsk { epoch }))?;
    Ok(tell(&verdict, json))
}

/// Prints a verdict; the exit code that goes with it.
fn tell(verdict: &Verdict, json: bool) -> u8 {
    if json {
        println!("{:#}", serde_json::json!(verdict));
    } else {
        match verdict {
            Verdict::Taken { id, stage } => println!("plan {id}: {}", stage.as_str()),
            Verdict::Refused { refusal } => println!("refused: {refusal}"),
        }
    }
    match verdict {
        Verdict::Taken { .. } => 0,
        Verdict::Refused { .. } => 1,
    }
}

/// `takt plan status`.
pub(super) fn status(socket: &Socket, json: bool) -> Result<u8, PlanError> {
    let status = socket.status()?;
    if json {
        println!("{:#}", serde_json::json!(status));
    } else {
        print(&status);
    }
    Ok(u8::from(!status.degraded.is_empty()))
}

fn print(status: &PlanStatus) {
    let node = if status.node.is_empty() { String::new() } else { format!(", node {}", status.node) };
    println!("site {}{node}: {}", status.site, status.role.as_str());
    let line = |what: &str, entry: Option<&PlanEntry>| {
        let Some(entry) = entry else { return };
        let digest = entry.digest.map(|digest| format!(" ({:.8})", digest.to_string())).unwrap_or_default();
        let cycle = entry.cycle.map(|cycle| format!(", from cycle {cycle}")).unwrap_or_default();
        println!(
            "  {what:<16} `{}` epoch {}{digest} {} since {}{cycle}",
            entry.name,
            entry.epoch,
            entry.stage.as_str(),
            entry.since
        );
        if let Some(refusal) = &entry.refusal {
            println!("  {:<16} {refusal}", "");
        }
    };
    line("in force", Some(&status.in_force));
    line("last known good", Some(&status.last_known_good));
    line("staged", status.staged.as_ref());
    line("given up", status.given_up.as_ref());
    for rule in &status.rules {
        println!("  the rule {rule} applies");
    }
    println!("  {} activated, {} rolled back", status.activations, status.rollbacks);
    for (reason, count) in &status.refused {
        println!("  refused as {reason}: {count}");
    }
    for reason in &status.degraded {
        println!("  degraded: {reason}");
    }
}
