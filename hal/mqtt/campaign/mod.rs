//! The campaign: does every message get through while broker and publisher are restarted and killed?
//!
//! Three phases, each with its share of the messages, a real Mosquitto with persistence, and a subscriber with
//! a persistent session and QoS 1:
//!
//! | phase | disturbed by | must hold |
//! |---|---|---|
//! | restarts | SIGTERM to the broker, which saves its memory | all acknowledged, none missing, repetitions marked |
//! | own kills | SIGKILL to the publisher | all acknowledged, none missing, repetitions marked |
//! | kills | SIGKILL to the broker, which loses its memory | all acknowledged; what is missing, it lost itself |
//!
//! The disturbances come when equal shares of the phase's messages are settled.

pub mod mosquitto;
pub mod publisher;
pub mod subscriber;

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use mosquitto::{End, Mosquitto};
use publisher::Progress;
use serde::Serialize;
use subscriber::Subscriber;

/// The topic of the messages.
const TOPIC: &str = "takt/campaign";
/// Without progress for so long the campaign is over.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// How large.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Messages in all.
    pub messages: u64,
    /// SIGTERM to the broker.
    pub restarts: u64,
    /// SIGKILL to the publisher.
    pub own_kills: u64,
    /// SIGKILL to the broker.
    pub kills: u64,
    /// Bytes of a payload.
    pub payload_bytes: usize,
    /// For outbox and broker.
    pub folder: PathBuf,
    /// The publisher: program and first arguments.
    pub publisher: Vec<String>,
}

/// What a phase showed.
#[derive(Debug, Clone, Serialize)]
pub struct PhaseReport {
    pub phase: &'static str,
    pub disturbances: u64,
    pub messages: u64,
    /// Settled by an acknowledgement; those of killed publishers by the outbox being empty at the end.
    pub acknowledged: u64,
    pub rejected: u64,
    /// Messages that were reported durable, and were not there after a kill.
    pub lost_from_outbox: u64,
    /// Sent for the first time by lives that were not killed.
    pub first_sends: u64,
    pub resends: u64,
    pub connects: u64,
    pub torn_bytes: u64,
    pub found_full: u64,
    pub missing_at_subscriber: u64,
    pub duplicates: u64,
    pub duplicates_unmarked: u64,
    pub wrong_payloads: u64,
    pub seconds: f64,
}

/// Runs all phases.
pub fn run(plan: &Plan) -> io::Result<Vec<PhaseReport>> {
    let share = plan.messages / 3;
    let ends = [share, 2 * share, plan.messages];
    let mut mosquitto = Mosquitto::start(&plan.folder.join("broker"), "autosave_interval 0")?;
    let subscriber = Subscriber::start(mosquitto.address(), TOPIC)?;
    let restarts =
        Phase { name: "broker restarted", first: 1, last: ends[0], disturbances: plan.restarts, plan }.run(
            &mosquitto.url(),
            &subscriber,
            |_| {
                mosquitto.end(End::Asked)?;
                mosquitto.resume()
            },
        )?;
    let own_kills = Phase {
        name: "publisher killed",
        first: ends[0] + 1,
        last: ends[1],
        disturbances: plan.own_kills,
        plan,
    }
    .run(&mosquitto.url(), &subscriber, |publisher| publisher.kill())?;
    drop(subscriber);
    drop(mosquitto);
    // A broker that saves every second, so that it comes back with an old memory.
    let mut mosquitto = Mosquitto::start(&plan.folder.join("broker-killed"), "autosave_interval 1")?;
    let subscriber = Subscriber::start(mosquitto.address(), TOPIC)?;
    let kills =
        Phase { name: "broker killed", first: ends[1] + 1, last: ends[2], disturbances: plan.kills, plan }
            .run(&mosquitto.url(), &subscriber, |_| {
                mosquitto.end(End::Killed)?;
                mosquitto.resume()
            })?;
    Ok(vec![restarts, own_kills, kills])
}

struct Phase<'a> {
    name: &'static str,
    first: u64,
    last: u64,
    disturbances: u64,
    plan: &'a Plan,
}

impl Phase<'_> {
    fn run(
        &self,
        broker: &str,
        subscriber: &Subscriber,
        mut disturb: impl FnMut(&mut Publisher) -> io::Result<()>,
    ) -> io::Result<PhaseReport> {
        let started = Instant::now();
        let mut publisher = Publisher::start(self, broker)?;
        let mut lives: Vec<Progress> = Vec::new();
        let mut lost_from_outbox = 0;
        let mut done = 0;
        let mut progress_at = Instant::now();
        loop {
            let before = publisher.progress.settled;
            publisher.listen();
            if publisher.progress.settled != before {
                progress_at = Instant::now();
            }
            if progress_at.elapsed() > STUCK_AFTER {
                let progress = &publisher.progress;
                return Err(io::Error::other(format!("{}: no progress: {progress:?}", self.name)));
            }
            let due = self.first + (self.last + 1 - self.first) * (done + 1) / (self.disturbances + 1);
            if done < self.disturbances && publisher.progress.settled >= due {
                disturb(&mut publisher)?;
                done += 1;
            }
            let Some(status) = publisher.ended()? else { continue };
            lives.push(publisher.progress.clone());
            if status.success() {
                break;
            }
            let durable = publisher.progress.durable;
            publisher = Publisher::start(self, broker)?;
            publisher.wait_for_first_line()?;
            // Every message that was reported durable must lie before the first one of the next life.
            lost_from_outbox += (durable + 1).saturating_sub(publisher.progress.first);
        }
        subscriber.wait_for(self.first, self.last, Duration::from_secs(5));
        Ok(self.report(&lives, lost_from_outbox, done, subscriber, started.elapsed()))
    }

    fn report(
        &self,
        lives: &[Progress],
        lost_from_outbox: u64,
        disturbances: u64,
        subscriber: &Subscriber,
        duration: Duration,
    ) -> PhaseReport {
        let messages = self.last + 1 - self.first;
        let copies = subscriber.copies(self.first, self.last);
        let sum = |of: fn(&Progress) -> u64| lives.iter().map(of).sum::<u64>();
        let last = lives.last().cloned().unwrap_or_default();
        let rejected = sum(|life| life.rejected);
        let duplicates: u64 = copies.values().map(|copies| u64::from(copies.all) - 1).sum();
        let marked: u64 = copies.values().map(|copies| u64::from(copies.marked_again)).sum();
        PhaseReport {
            phase: self.name,
            disturbances,
            messages,
            acknowledged: (last.settled + 1).saturating_sub(self.first) - rejected - lost_from_outbox,
            rejected,
            lost_from_outbox,
            first_sends: sum(|life| life.published),
            resends: sum(|life| life.resent),
            connects: sum(|life| life.connects),
            torn_bytes: sum(|life| life.torn_bytes),
            found_full: sum(|life| life.found_full),
            missing_at_subscriber: messages - copies.len() as u64,
            duplicates,
            duplicates_unmarked: duplicates - marked,
            wrong_payloads: copies.values().map(|copies| u64::from(copies.wrong)).sum(),
            seconds: duration.as_secs_f64(),
        }
    }
}

/// A publisher's process, and the last line it printed.
struct Publisher {
    process: Child,
    lines: Receiver<Progress>,
    progress: Progress,
}

impl Publisher {
    fn start(phase: &Phase<'_>, broker: &str) -> io::Result<Self> {
        let plan = phase.plan;
        let (program, first_arguments) =
            plan.publisher.split_first().ok_or_else(|| io::Error::other("no publisher"))?;
        let mut process = Command::new(program)
            .args(first_arguments)
            .args(["--broker", broker, "--topic", TOPIC])
            .args(["--messages", &phase.last.to_string(), "--payload-bytes", &plan.payload_bytes.to_string()])
            .arg("--folder")
            .arg(outbox_folder(&plan.folder))
            .stdout(Stdio::piped())
            .spawn()?;
        let out = process.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // The last line of a killed process may be cut.
                if let Ok(progress) = serde_json::from_str(&line)
                    && sender.send(progress).is_err()
                {
                    return;
                }
            }
        });
        Ok(Self { process, lines, progress: Progress::default() })
    }

    /// Takes what it printed, and waits a moment for it.
    fn listen(&mut self) {
        if let Ok(progress) = self.lines.recv_timeout(Duration::from_millis(10)) {
            self.progress = progress;
        }
        if let Some(progress) = self.lines.try_iter().last() {
            self.progress = progress;
        }
    }

    fn wait_for_first_line(&mut self) -> io::Result<()> {
        self.progress =
            self.lines.recv_timeout(Duration::from_secs(20)).map_err(|error: RecvTimeoutError| {
                io::Error::other(format!("the publisher says nothing: {error}"))
            })?;
        Ok(())
    }

    /// How it ended, if it did, after all that it printed was taken.
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.process.try_wait()?;
        if status.is_some() {
            while let Ok(progress) = self.lines.recv() {
                self.progress = progress;
            }
        }
        Ok(status)
    }

    fn kill(&mut self) -> io::Result<()> {
        self.process.kill()?;
        self.process.wait().map(drop)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.kill().ok();
    }
}

/// Where the publisher keeps its outbox.
pub fn outbox_folder(folder: &Path) -> PathBuf {
    folder.join("outbox")
}

/// What a phase must show, and does not; empty if all is well.
pub fn shortcomings(report: &PhaseReport) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            found.push(format!("{}: {what}", report.phase));
        }
    };
    must(report.acknowledged == report.messages, "not every message was acknowledged");
    must(report.rejected == 0, "messages were rejected");
    must(report.lost_from_outbox == 0, "the outbox lost messages that it had reported durable");
    must(report.wrong_payloads == 0, "payloads do not belong to their sequence");
    match report.phase {
        // A killed broker forgets what it acknowledged, and repeats what it remembers from earlier; that we sent
        // each message unmarked but once is all that can be asked.
        "broker killed" => {
            must(report.first_sends == report.messages, "messages were sent unmarked more than once")
        }
        _ => {
            must(report.missing_at_subscriber == 0, "messages are missing at the subscriber");
            must(report.duplicates_unmarked == 0, "repetitions are not marked");
        }
    }
    found
}
