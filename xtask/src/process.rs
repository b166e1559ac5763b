//! Running other programs: always named before they run, never with a standard input.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::Failure;

/// How many lines may wait between the reading thread and the reader.
const LINES_WAITING_MAX: usize = 1024;

/// How long a line may still come after the program has ended.
const GRACE: Duration = Duration::from_secs(2);

/// The cargo that started us, or the one in `PATH`.
#[must_use]
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// The command as a developer would type it.
#[must_use]
pub fn shown(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().map_or_else(|| program.display().to_string(), |n| n.display().to_string());
    let mut text = String::new();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            text.push_str(&format!("{}={} ", key.display(), value.display()));
        }
    }
    text.push_str(&name);
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.display().to_string());
    }
    text
}

/// Runs a command in the terminal and says first what it runs.
///
/// # Errors
/// If the program cannot be started, or ends with another code than 0.
pub fn run(command: &mut Command) -> Result<(), Failure> {
    println!("$ {}", shown(command));
    let status = command.stdin(Stdio::null()).status().map_err(|e| not_started(command, &e))?;
    succeeded(command, status)
}

/// Runs a command and returns what it prints to its standard output, however it ends.
///
/// # Errors
/// If the program cannot be started.
pub fn output(command: &mut Command) -> Result<(ExitStatus, String), Failure> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| not_started(command, &e))?;
    Ok((output.status, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Runs a command, hands over each line that it prints to either of its outputs, in their order.
///
/// Ends at most `GRACE` after the program: a process that the program left behind with its outputs
/// open cannot hold us up. The second value tells whether there was one.
///
/// # Errors
/// If the program cannot be started or waited for.
pub fn each_line(mut command: Command, mut take: impl FnMut(&str)) -> Result<(ExitStatus, bool), Failure> {
    println!("$ {}", shown(&command));
    let pipe_failed = |e: io::Error| Failure::new(format!("no pipe: {e}"), "check the limit on open files");
    let (reader, writer) = io::pipe().map_err(pipe_failed)?;
    command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(pipe_failed)?).stderr(writer);
    let mut child = command.spawn().map_err(|e| not_started(&command, &e))?;
    let name = shown(&command);
    // The command holds our ends of the pipe; while they are open the reader sees no end.
    drop(command);

    let (send, lines) = sync_channel(LINES_WAITING_MAX);
    thread::spawn(move || forward_lines(reader, &send));
    let mut ended = None;
    let left_behind = loop {
        match lines.recv_timeout(GRACE) {
            Ok(line) => take(&line),
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) if ended.is_some() => break true,
            Err(RecvTimeoutError::Timeout) => {
                ended = child.try_wait().map_err(|e| Failure::new(format!("{name}: {e}"), ""))?;
            }
        }
    };
    let status = child.wait().map_err(|e| Failure::new(format!("{name}: {e}"), ""))?;
    Ok((status, left_behind))
}

/// Judges how a command ended.
///
/// # Errors
/// If it ended with another code than 0.
pub fn succeeded(command: &Command, status: ExitStatus) -> Result<(), Failure> {
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("`{}` failed: {status}", shown(command)), ""))
    }
}

/// Where a program is: in `PATH`, or where the system keeps its daemons, which a user's `PATH` may lack.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(more).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn forward_lines(reader: impl io::Read, send: &SyncSender<String>) {
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&bytes);
        if send.send(line.trim_end_matches(['\n', '\r']).to_owned()).is_err() {
            return;
        }
    }
}

fn not_started(command: &Command, error: &io::Error) -> Failure {
    Failure::new(
        format!("`{}` cannot be started: {error}", shown(command)),
        "install the program or add its folder to PATH",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_of_both_outputs_keep_their_order() {
        let mut lines = Vec::new();
        let (status, left_behind) =
            each_line(shell("echo one; echo two >&2; echo three"), |l| lines.push(l.to_owned())).unwrap();
        assert_eq!((status.success(), left_behind), (true, false));
        assert_eq!(lines, ["one", "two", "three"]);
    }

    #[test]
    fn a_process_left_behind_does_not_hold_up_the_end() {
        let mut lines = Vec::new();
        let (status, left_behind) =
            each_line(shell("sleep 30 & echo $!; exit 3"), |l| lines.push(l.to_owned())).unwrap();
        assert_eq!((status.code(), left_behind), (Some(3), true));
        run(Command::new("kill").args(&lines)).unwrap();
    }

    #[test]
    fn a_missing_program_is_named_with_a_remedy() {
        let failure = run(&mut Command::new("takt-no-such-program")).unwrap_err();
        assert!(failure.what.contains("takt-no-such-program") && !failure.remedy.is_empty(), "{failure}");
    }
}
