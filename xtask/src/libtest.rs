//! Reads what `cargo test` prints: which tests ran, failed or were ignored, and why.
//!
//! The counts come from each suite's closing line; the names from the line of each test. A suite
//! without a closing line either died or is a program of its own without the usual frame: which of the
//! two it was, only cargo's exit code tells.

/// One test of one suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestName {
    /// The suite, e.g. `hal-units` or `hal-units tests/time.rs`.
    pub suite: String,
    /// The test's path in the suite.
    pub test: String,
}

/// What a run of `cargo test` did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Suites that were started, with and without a closing line.
    pub suites: u32,
    /// Tests that passed.
    pub passed: u32,
    /// Tests that failed.
    pub failed: u32,
    /// The tests that failed, by name.
    pub failures: Vec<TestName>,
    /// The tests that were ignored, each with the reason that its author gave, which may be empty.
    pub ignored: Vec<(TestName, String)>,
    /// Suites that printed no closing line.
    pub unfinished: Vec<String>,
}

/// Reads the lines of a run, one after the other.
#[derive(Debug, Default)]
pub struct Reader {
    report: Report,
    /// The suite that is running: it has printed no closing line yet.
    open: Option<String>,
    /// The suite that the lines belong to.
    suite: String,
}

impl Reader {
    /// Takes the next line. `name_of` turns the file name of a test program into the name of its suite.
    pub fn take(&mut self, line: &str, name_of: impl Fn(&str) -> Option<String>) {
        let line = line.trim_start();
        if let Some(running) = line.strip_prefix("Running ") {
            self.start(suite_name(running, name_of));
        } else if let Some(package) = line.strip_prefix("Doc-tests ") {
            self.start(format!("{package} (examples in the documentation)"));
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.report.passed += count(result, "passed");
            self.report.failed += count(result, "failed");
            self.open = None;
        } else if let Some((test, verdict)) = line.strip_prefix("test ").and_then(|l| l.split_once(" ... ")) {
            self.take_test(test, verdict);
        }
    }

    /// Ends the reading.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.report.unfinished.extend(self.open);
        self.report
    }

    fn start(&mut self, suite: String) {
        self.report.unfinished.extend(self.open.replace(suite.clone()));
        self.report.suites += 1;
        self.suite = suite;
    }

    fn take_test(&mut self, test: &str, verdict: &str) {
        let name = TestName { suite: self.suite.clone(), test: test.to_owned() };
        if verdict == "FAILED" || verdict.starts_with("FAILED ") {
            self.report.failures.push(name);
        } else if let Some(rest) = verdict.strip_prefix("ignored") {
            let reason = rest.trim_start_matches(',').trim();
            self.report.ignored.push((name, reason.to_owned()));
        }
    }
}

/// The suite's name from cargo's `unittests src/lib.rs (target/debug/deps/hal_units-0123abcd)`.
fn suite_name(running: &str, name_of: impl Fn(&str) -> Option<String>) -> String {
    let program = running.rsplit_once('(').map_or("", |(_, path)| path.trim_end_matches(')'));
    let file = program.rsplit('/').next().unwrap_or(program);
    name_of(file).unwrap_or_else(|| running.to_owned())
}

/// The number before a word, as in `5 passed; 1 failed`.
fn count(result: &str, word: &str) -> u32 {
    let words = result.split([' ', ';']).filter(|w| !w.is_empty());
    let pairs = words.clone().zip(words.skip(1));
    pairs.filter(|(_, second)| *second == word).find_map(|(first, _)| first.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Report {
        let mut reader = Reader::default();
        for line in text.lines() {
            reader.take(line, |file| file.split_once('-').map(|(name, _)| name.to_owned()));
        }
        reader.finish()
    }

    fn name(suite: &str, test: &str) -> TestName {
        TestName { suite: suite.to_owned(), test: test.to_owned() }
    }

    const RUN: &str = "\
     Running unittests src/lib.rs (target/debug/deps/hal_units-0123)

running 3 tests
test time::tests::a_day_has_86400_seconds ... ok
test time::tests::it_breaks ... FAILED
test data::tests::it_matches ... ignored, needs TAKT_DATA, a folder ... of files

failures:
    time::tests::it_breaks

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s

   Doc-tests hal_units

running 1 test
test hal/units/src/lib.rs - Duration (line 7) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.20s
";

    #[test]
    fn counts_are_summed_over_the_suites() {
        let report = read(RUN);
        assert_eq!((report.suites, report.passed, report.failed), (2, 2, 1));
        assert!(report.unfinished.is_empty());
    }

    #[test]
    fn a_failed_test_is_named_with_its_suite() {
        assert_eq!(read(RUN).failures, [name("hal_units", "time::tests::it_breaks")]);
    }

    #[test]
    fn an_ignored_test_keeps_its_whole_reason() {
        let reason = "needs TAKT_DATA, a folder ... of files".to_owned();
        assert_eq!(read(RUN).ignored, [(name("hal_units", "data::tests::it_matches"), reason)]);
    }

    #[test]
    fn a_suite_that_dies_is_unfinished() {
        let text = "Running tests/a.rs (target/debug/deps/a-1)\nrunning 2 tests\ntest x ... ok\n\
                    Running tests/b.rs (target/debug/deps/b-2)\ntest result: ok. 4 passed; 0 failed;";
        let report = read(text);
        assert_eq!((report.unfinished, report.passed), (vec!["a".to_owned()], 4));
    }

    #[test]
    fn a_suite_that_dies_last_is_unfinished_too() {
        assert_eq!(read("Running tests/a.rs (target/debug/deps/a-1)\n").unfinished, ["a"]);
    }

    #[test]
    fn other_output_is_not_taken_for_a_test() {
        assert_eq!(read("test bench for turbines\nRun takt ... ok\ntest\n"), Report::default());
    }
}
