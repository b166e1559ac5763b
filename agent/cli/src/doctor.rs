//! `takt doctor`: can this machine, and a process started like this one, control in real time?

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use hal_linux_rt::doctor::{Finding, Request, Status, Verdict, default_core, examine};
use hal_linux_rt::thread::Priority;
use serde::Serialize;

/// Check whether this machine can control in real time, and say what to do if not
///
/// Each permission and setting is tried the way the agent uses it, and read back from the kernel. Run it
/// where and as the agent will run: in the same container, as the same user.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
    /// The core that control loops will run on [default: the last one allowed]
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// The real-time priority of control loops, 1 to 99
    #[arg(long, value_name = "P", default_value_t = 80, value_parser = clap::value_parser!(u8).range(1..=99))]
    priority: u8,
    /// How long to measure wake-ups, in seconds, 1 to 3600
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

const EXIT_STATUS: &str = "\
Exit status:
  0  fit for real time
  1  runs in real time, but degraded: see the warnings
  2  wrong command line
  3  unfit: no real time as it is, see the failures";

pub(crate) fn run(args: &Args) -> ExitCode {
    let core = args.core.unwrap_or_else(default_core);
    let request = Request {
        core: Some(core),
        priority: Priority::new(args.priority).unwrap_or(Priority::MIN),
        measure_for: Duration::from_secs(args.seconds),
    };
    let findings = examine(&request);
    let verdict = Verdict::of(&findings);
    let printed = if args.json {
        let report = Report::new(&request, core, verdict, &findings);
        serde_json::to_string_pretty(&report)
            .map_err(io::Error::from)
            .and_then(|json| writeln!(io::stdout(), "{json}"))
    } else {
        // Drops the colours if the output is no terminal or NO_COLOR is set.
        anstream::stdout().write_all(render(core, args.priority, verdict, &findings).as_bytes())
    };
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("takt doctor: cannot write to standard output: {error}");
            ExitCode::from(3)
        }
        _ => ExitCode::from(exit_status(verdict)),
    }
}

const fn exit_status(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Fit => 0,
        Verdict::Degraded => 1,
        Verdict::Unfit => 3,
    }
}

const fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fit => "fit",
        Verdict::Degraded => "degraded",
        Verdict::Unfit => "unfit",
    }
}

/// The wire form of an examination.
#[derive(Debug, Serialize)]
struct Report<'a> {
    verdict: &'static str,
    core: usize,
    priority: u8,
    findings: Vec<FindingReport<'a>>,
}

#[derive(Debug, Serialize)]
struct FindingReport<'a> {
    check: &'a str,
    status: String,
    found: &'a str,
    errno: Option<ErrnoReport>,
    meaning: &'a str,
    remedy: &'a str,
}

#[derive(Debug, Serialize)]
struct ErrnoReport {
    number: i32,
    name: Option<&'static str>,
}

impl<'a> Report<'a> {
    fn new(request: &Request, core: usize, verdict: Verdict, findings: &'a [Finding]) -> Self {
        let finding = |finding: &'a Finding| FindingReport {
            check: finding.check.name(),
            status: finding.status.to_string(),
            found: &finding.found,
            errno: finding.errno.map(|errno| ErrnoReport { number: errno.raw(), name: errno.name() }),
            meaning: &finding.meaning,
            remedy: &finding.remedy,
        };
        Self {
            verdict: verdict_word(verdict),
            core,
            priority: request.priority.level(),
            findings: findings.iter().map(finding).collect(),
        }
    }
}

/// Columns of the text: wide enough for sentences, narrow enough for a terminal beside another.
const COLUMNS: usize = 110;
const STATUS_COLUMNS: usize = 9;

const fn style(status: Status) -> Style {
    match status {
        Status::Ok => AnsiColor::Green.on_default(),
        Status::Warning => AnsiColor::Yellow.on_default().bold(),
        Status::Failure => AnsiColor::Red.on_default().bold(),
        Status::Skipped => Style::new().dimmed(),
    }
}

/// One line per finding; under each that is not fine its meaning and remedy.
fn render(core: usize, priority: u8, verdict: Verdict, findings: &[Finding]) -> String {
    let mut text = format!("Control loops on core {core} at priority {priority}\n\n");
    let check_columns = findings.iter().map(|finding| finding.check.name().len()).max().unwrap_or(0) + 2;
    let indent = STATUS_COLUMNS + check_columns;
    for finding in findings {
        let style = style(finding.status);
        let found = match finding.errno {
            Some(errno) => format!("{}: {errno}", finding.found),
            None => finding.found.clone(),
        };
        let status = format!("{:STATUS_COLUMNS$}", finding.status);
        let _ = write!(text, "{style}{status}{style:#}{:check_columns$}", finding.check);
        hang(&mut text, indent, &found);
        for (label, explanation) in [("means: ", &finding.meaning), ("do: ", &finding.remedy)] {
            if !explanation.is_empty() {
                let _ = write!(text, "{:indent$}", "");
                hang(&mut text, indent + 2, &format!("{label}{explanation}"));
            }
        }
    }
    let count = |status| findings.iter().filter(|finding| finding.status == status).count();
    let (style, sentence) = match verdict {
        Verdict::Fit => (style(Status::Ok), "fit for real time"),
        Verdict::Degraded => (style(Status::Warning), "real time, but degraded"),
        Verdict::Unfit => (style(Status::Failure), "unfit for real time"),
    };
    let _ = writeln!(
        text,
        "\n{style}{sentence}{style:#}: {} failures, {} warnings, {} ok, {} skipped",
        count(Status::Failure),
        count(Status::Warning),
        count(Status::Ok),
        count(Status::Skipped),
    );
    text
}

/// Appends words from column `indent` on, further lines indented alike, and ends the line.
fn hang(text: &mut String, indent: usize, words: &str) {
    let mut column = indent;
    for (index, word) in words.split(' ').enumerate() {
        let width = word.chars().count();
        if index > 0 && column + 1 + width > COLUMNS {
            let _ = write!(text, "\n{:indent$}", "");
            column = indent;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_linux_rt::Errno;
    use hal_linux_rt::doctor::Check;

    fn finding(status: Status, errno: Option<Errno>, meaning: &str) -> Finding {
        let (found, remedy) = ("it is so".to_owned(), meaning.replace("means", "do"));
        Finding { check: Check::Swap, status, found, errno, meaning: meaning.to_owned(), remedy }
    }

    fn plain(findings: &[Finding]) -> String {
        let text = render(3, 80, Verdict::of(findings), findings);
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn a_finding_that_is_fine_takes_one_line() {
        let text = plain(&[finding(Status::Ok, None, "")]);
        assert!(text.contains("\nok       swap  it is so\n\nfit for real time: 0 failures"), "{text}");
    }

    #[test]
    fn a_failure_shows_its_errno_its_meaning_and_its_remedy() {
        let text = plain(&[finding(Status::Failure, Some(Errno::EPERM), "it means harm")]);
        assert!(text.contains("failure  swap  it is so: EPERM (Operation not permitted)\n"), "{text}");
        assert!(text.contains("means: it means harm\n") && text.contains("do: it do harm\n"), "{text}");
    }

    #[test]
    fn long_text_is_wrapped_and_no_word_is_lost() {
        let words = "word ".repeat(100).trim_end().to_owned();
        let mut text = String::new();
        hang(&mut text, 20, &words);
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS));
        assert_eq!(text.split_whitespace().count(), 100);
    }

    #[test]
    fn each_verdict_has_an_exit_status_of_its_own() {
        let statuses = [Verdict::Fit, Verdict::Degraded, Verdict::Unfit].map(exit_status);
        assert_eq!(statuses, [0, 1, 3]);
    }
}
