//! The agent's inbox for plans, on its Unix socket.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_plan::PlanId;
use agent_plan::document::SignedPlan;
use agent_plan::wire::{Answer, Ask, FleetStatus, PlanStatus, RollbackAsk, Verdict, read_frame, write_frame};

/// An answer that takes longer will not come.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// The agent beside this sidecar.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    socket: PathBuf,
}

impl Agent {
    pub(crate) fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Asks once, on a connection of its own: an agent that restarts is found again.
    fn ask(&self, ask: &Ask) -> Result<Answer, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.socket.display());
        let mut stream = UnixStream::connect(&self.socket).map_err(failed)?;
        stream.set_read_timeout(Some(ANSWERS_WITHIN)).map_err(failed)?;
        stream.set_write_timeout(Some(ANSWERS_WITHIN)).map_err(failed)?;
        let (kind, body) = ask.encode();
        write_frame(&mut stream, kind, &body).map_err(failed)?;
        let frame = read_frame(&mut stream).map_err(failed)?;
        Answer::decode(&frame).map_err(|error| format!("{}: {error}", self.socket.display()))
    }

    pub(crate) fn status(&self) -> Result<PlanStatus, String> {
        match self.ask(&Ask::Status)? {
            Answer::Status(status) => Ok(*status),
            Answer::Verdict(_) | Answer::Plan(_) | Answer::Fleet(_) | Answer::Done => {
                Err("the agent answered something else".to_owned())
            }
        }
    }

    /// A plan that is on the agent's disk; none if it is not, or the agent knows no such question.
    pub(crate) fn plan(&self, id: PlanId) -> Option<SignedPlan> {
        match self.ask(&Ask::Plan(id)) {
            Ok(Answer::Plan(json)) => SignedPlan::from_json(&json).ok().filter(|plan| plan.id() == id),
            Ok(Answer::Status(_) | Answer::Verdict(_) | Answer::Fleet(_) | Answer::Done) | Err(_) => None,
        }
    }

    /// The fleet; none if there is none, another node leads it, or the agent knows no such question.
    pub(crate) fn fleet(&self) -> Option<FleetStatus> {
        match self.ask(&Ask::Fleet) {
            Ok(Answer::Fleet(fleet)) => fleet,
            Ok(Answer::Status(_) | Answer::Verdict(_) | Answer::Plan(_) | Answer::Done) | Err(_) => None,
        }
    }

    /// Offers a plan, as signed JSON.
    pub(crate) fn offer(&self, json: &[u8]) -> Result<Verdict, String> {
        match self.ask(&Ask::Offer(json.to_vec()))? {
            Answer::Verdict(verdict) => Ok(verdict),
            Answer::Status(_) | Answer::Plan(_) | Answer::Fleet(_) | Answer::Done => {
                Err("the agent answered something else".to_owned())
            }
        }
    }

    /// Has a plan given up that is staged or on trial.
    pub(crate) fn roll_back(&self, epoch: u32) -> Result<Verdict, String> {
        match self.ask(&Ask::Rollback(RollbackAsk { epoch }))? {
            Answer::Verdict(verdict) => Ok(verdict),
            Answer::Status(_) | Answer::Plan(_) | Answer::Fleet(_) | Answer::Done => {
                Err("the agent answered something else".to_owned())
            }
        }
    }

    /// Whoever sends plans was reached just now.
    pub(crate) fn centre_seen(&self) -> Result<(), String> {
        self.ask(&Ask::CentreSeen).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_plan::wire::frame::Frame;
    use std::os::unix::net::UnixListener;

    /// An agent that answers once.
    fn answering(answer: Answer) -> (tempfile::TempDir, Agent, std::thread::JoinHandle<Frame>) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("plans.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let frame = read_frame(&mut stream).unwrap();
            let (kind, body) = answer.encode();
            write_frame(&mut stream, kind, &body).unwrap();
            frame
        });
        (folder, Agent::at(&socket), thread)
    }

    #[test]
    fn the_status_comes_back_as_it_was_said() {
        let said = PlanStatus { site: "north".to_owned(), highest_epoch: 4, ..PlanStatus::default() };
        let (_folder, agent, thread) = answering(Answer::Status(Box::new(said.clone())));
        assert_eq!(agent.status(), Ok(said));
        thread.join().unwrap();
    }

    #[test]
    fn an_agent_that_is_not_there_is_an_error_with_its_socket() {
        let error = Agent::at(Path::new("/nowhere/plans.sock")).status().unwrap_err();
        assert!(error.contains("/nowhere/plans.sock"), "{error}");
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let (_folder, agent, thread) = answering(Answer::Done);
        assert!(agent.status().is_err());
        thread.join().unwrap();
    }
}
