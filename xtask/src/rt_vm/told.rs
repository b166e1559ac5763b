//! What the virtual machine told over its serial line, and whether it is right.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::{Value, json};

/// Begins the lines that are meant for us.
pub(super) const MARK: &str = "takt-rt-vm: ";
/// The checks that cannot be green in a virtual machine, with the reason. That there is a hypervisor has to be found.
const NOT_HERE: [(&str, &str); 2] = [
    ("hypervisor", "there is one, and the doctor has to find it"),
    ("wake-up delay", "the processor is emulated, on a machine that does other things"),
];
/// The checks that have nothing to look at on this kernel, with the reason.
const NOTHING_THERE: [(&str, &str); 1] =
    [("real-time budget", "the kernel gives groups none (no RT_GROUP_SCHED), as version 2 wants it")];

#[derive(Debug, Deserialize)]
struct Finding {
    check: String,
    status: String,
    found: String,
}

/// Of the demo's figures, those that do not depend on the emulated processor's speed.
#[derive(Debug, Deserialize)]
struct Demo {
    realtime: Realtime,
    groups: Vec<Group>,
    devices: Vec<Device>,
    commands: Commands,
}

#[derive(Debug, Deserialize)]
struct Realtime {
    obtained: bool,
    locked_kib: u64,
    degraded: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Group {
    name: String,
    cycles: u64,
    missed_deadlines: u64,
    thread: Thread,
}

#[derive(Debug, Deserialize)]
struct Thread {
    policy: String,
    cores: Vec<usize>,
}

#[derive(Debug, Deserialize)]
struct Device {
    name: String,
    scans: u64,
    writes: u64,
}

#[derive(Debug, Deserialize)]
struct Commands {
    executed: u64,
}

/// The core that is for the loops.
const LOOP_CORE: usize = 2;
/// A demo of 20 s has 2,000 cycles in time. That some come is what can be asked of an emulated processor on a busy
/// machine, where 1,000 in two minutes were seen.
const CYCLES_MIN: u64 = 100;
/// For the same reason: each device was really read and really written.
const TRANSFERS_MIN: u64 = 1;

impl Demo {
    /// What does not work.
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let Realtime { obtained, locked_kib, degraded } = &self.realtime;
        if !obtained || *locked_kib == 0 {
            let why = degraded.join(", ");
            wrong.push(format!("the demo's agent did not get real time, {locked_kib} KiB locked: {why}"));
        }
        for Group { name, cycles, thread, .. } in &self.groups {
            let Thread { policy, cores } = thread;
            if policy != "SCHED_FIFO" || cores != &[LOOP_CORE] {
                wrong.push(format!("the thread of {name} is {policy} on cores {cores:?}"));
            }
            if *cycles < CYCLES_MIN {
                wrong.push(format!("{name} had {cycles} cycles only"));
            }
        }
        for Device { name, scans, writes } in &self.devices {
            if *scans < TRANSFERS_MIN || *writes < TRANSFERS_MIN {
                wrong.push(format!("{name} was read {scans} and written {writes} times only"));
            }
        }
        if self.groups.is_empty() || self.devices.is_empty() || self.commands.executed == 0 {
            wrong.push("the demo had no loops, no devices, or executed no command".to_owned());
        }
        wrong
    }
}

/// What the machine has told.
#[derive(Debug, Default)]
pub(super) struct Told {
    kernel: Option<String>,
    partition: Option<String>,
    findings: Vec<Finding>,
    doctor: Option<Value>,
    demo: Option<Value>,
    demo_exit: Option<u8>,
}

/// What is to be thought of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    Green,
    /// Not green, as it has to be here, with the reason.
    Expected(&'static str),
    Wrong,
}

fn judge(finding: &Finding) -> Judgement {
    let reason_in = |table: &[(&str, &'static str)]| {
        table.iter().find(|(check, _)| *check == finding.check).map(|(_, reason)| *reason)
    };
    let expected = match finding.status.as_str() {
        "ok" if finding.check == "hypervisor" => return Judgement::Wrong,
        "ok" => return Judgement::Green,
        "skipped" => reason_in(&NOTHING_THERE),
        _ => reason_in(&NOT_HERE),
    };
    expected.map_or(Judgement::Wrong, Judgement::Expected)
}

impl Told {
    pub(super) fn take(&mut self, line: &str) {
        let Some((_, told)) = line.split_once(MARK) else { return };
        let (what, value) = told.trim().split_once(' ').unwrap_or((told.trim(), ""));
        match what {
            "kernel" => self.kernel = Some(value.to_owned()),
            "partition" => self.partition = Some(value.to_owned()),
            "doctor" => {
                self.doctor = serde_json::from_str(value).ok();
                let findings = self.doctor.as_ref().and_then(|doctor| doctor.get("findings"));
                self.findings = findings
                    .and_then(|findings| serde_json::from_value(findings.clone()).ok())
                    .unwrap_or_default();
            }
            "demo-exit" => self.demo_exit = value.parse().ok(),
            "demo" => self.demo = serde_json::from_str(value).ok(),
            _ => {}
        }
    }

    /// What is not as it should be.
    pub(super) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        match &self.kernel {
            None => wrong.push("it did not boot".to_owned()),
            Some(kernel) if !kernel.contains("PREEMPT_RT") => wrong.push(format!("the kernel is {kernel}")),
            Some(_) => {}
        }
        if self.findings.is_empty() {
            wrong.push("the doctor told nothing".to_owned());
        }
        let not_right = self.findings.iter().filter(|finding| judge(finding) == Judgement::Wrong);
        wrong.extend(not_right.map(|Finding { check, status, found }| format!("{status}: {check}: {found}")));
        if self.partition.as_deref() != Some("isolated") {
            wrong.push(format!("the partition is {}", self.partition.as_deref().unwrap_or("unknown")));
        }
        match self.demo_exit {
            // 1 also means that it was not in time, which an emulated processor may not be.
            Some(0 | 1) => {}
            Some(code) => wrong.push(format!("the demo ended with {code}")),
            None => wrong.push("the demo did not end".to_owned()),
        }
        match self.demo() {
            // Written when all of its processes have ended as they should.
            None => wrong.push("the demo wrote no figures".to_owned()),
            Some(demo) => wrong.extend(demo.wrong()),
        }
        wrong
    }

    fn demo(&self) -> Option<Demo> {
        serde_json::from_value(self.demo.clone()?).ok()
    }

    /// A line for each check, and one for the demo.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        let columns = self.findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        if let Some(kernel) = &self.kernel {
            let _ =
                writeln!(text, "kernel {kernel}, partition {}", self.partition.as_deref().unwrap_or("none"));
        }
        for finding in &self.findings {
            let Finding { check, status, found } = finding;
            let note = match judge(finding) {
                Judgement::Green => String::new(),
                Judgement::Expected(reason) => format!(" [as it has to be here: {reason}]"),
                Judgement::Wrong => " [WRONG]".to_owned(),
            };
            let _ = writeln!(text, "{status:8} {check:columns$}  {found}{note}");
        }
        let Some(demo) = self.demo() else { return text };
        let Realtime { obtained, locked_kib, .. } = demo.realtime;
        let words = if obtained { "obtained" } else { "NOT obtained" };
        let _ = writeln!(text, "\ndemo: real time {words}, {locked_kib} KiB locked");
        for Group { name, cycles, missed_deadlines, thread: Thread { policy, cores } } in demo.groups {
            let _ = writeln!(
                text,
                "      {name}: {policy} on cores {cores:?}, {cycles} cycles, {missed_deadlines} not in time"
            );
        }
        for Device { name, scans, writes } in demo.devices {
            let _ = writeln!(text, "      {name}: read {scans} times, written {writes} times");
        }
        if self.demo_exit == Some(1) {
            text += "      it was not in time, which says nothing: the processor is emulated\n";
        }
        text
    }

    /// All of it, for programs.
    pub(super) fn json(&self) -> String {
        let told = json!({
            "kernel": self.kernel,
            "partition": self.partition,
            "doctor": self.doctor,
            "demo": self.demo,
            "demo_exit": self.demo_exit,
            "wrong": self.wrong(),
        });
        format!("{told:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &str = "takt-rt-vm: kernel 6.1.0-rt-amd64 #1 SMP PREEMPT_RT Debian";
    const PARTITION: &str = "takt-rt-vm: partition isolated";
    const EXIT: &str = "takt-rt-vm: demo-exit 0";
    const DEMO: &str = concat!(
        r#"takt-rt-vm: demo {"realtime": {"obtained": true, "locked_kib": 9, "degraded": []}, "#,
        r#""groups": [{"name": "turbines", "cycles": 900, "missed_deadlines": 800, "#,
        r#""thread": {"policy": "SCHED_FIFO", "cores": [2]}}], "#,
        r#""devices": [{"name": "WT01", "scans": 90, "writes": 80}], "commands": {"executed": 4}}"#
    );

    /// A machine on which one check came out like this, and all else is right.
    fn with(check: &str, status: &str) -> Told {
        let finding = format!(r#"{{"check":"{check}","status":"{status}","found":"x","errno":null}}"#);
        let doctor = format!(r#"takt-rt-vm: doctor {{"verdict":"v","findings":[{finding}]}}"#);
        told(&["[    1.0] booting", KERNEL, PARTITION, &doctor, EXIT, DEMO])
    }

    fn told(lines: &[&str]) -> Told {
        let mut told = Told::default();
        lines.iter().for_each(|line| told.take(line));
        told
    }

    #[test]
    fn a_green_check_is_right_and_so_is_one_that_cannot_be_green_here() {
        for (check, status) in [
            ("memory lock", "ok"),
            ("wake-up delay", "ok"),
            ("wake-up delay", "failure"),
            ("hypervisor", "warning"),
            ("real-time budget", "skipped"),
        ] {
            assert_eq!(with(check, status).wrong(), [""; 0], "{check}");
        }
    }

    #[test]
    fn a_check_that_is_not_green_is_wrong_and_named() {
        for status in ["failure", "warning", "skipped"] {
            let told = with("memory lock", status);
            assert_eq!(told.wrong(), [format!("{status}: memory lock: x")]);
            assert!(told.table().contains("memory lock  x [WRONG]"), "{}", told.table());
        }
        assert_eq!(with("hypervisor", "ok").wrong().len(), 1, "the doctor was deceived");
        assert_eq!(with("real-time budget", "failure").wrong().len(), 1);
    }

    #[test]
    fn a_machine_that_tells_nothing_is_wrong_in_everything() {
        let wrong = told(&["Booting from ROM..."]).wrong().join("; ");
        for what in ["did not boot", "doctor told nothing", "partition is unknown", "demo did not end"] {
            assert!(wrong.contains(what), "{what}: {wrong}");
        }
    }

    /// What is wrong if the demo told this in place of that.
    fn demo_with(that: &str, this: &str) -> String {
        assert!(DEMO.contains(that));
        let mut machine = with("memory lock", "ok");
        machine.take(&DEMO.replace(that, this));
        machine.wrong().join("; ")
    }

    #[test]
    fn a_demo_that_does_not_work_is_wrong() {
        for (that, this, what) in [
            (
                r#"true, "locked_kib": 9, "degraded": []"#,
                r#"false, "locked_kib": 9, "degraded": ["why"]"#,
                "why",
            ),
            (r#""locked_kib": 9"#, r#""locked_kib": 0"#, "0 KiB locked"),
            ("SCHED_FIFO", "SCHED_OTHER", "the thread of turbines is SCHED_OTHER"),
            ("[2]", "[0]", "on cores [0]"),
            ("900", "20", "20 cycles only"),
            (r#""writes": 80"#, r#""writes": 0"#, "written 0 times only"),
            (r#""executed": 4"#, r#""executed": 0"#, "executed no command"),
            ("commands", "orders", "wrote no figures"),
        ] {
            let wrong = demo_with(that, this);
            assert!(wrong.contains(what), "{what}: {wrong}");
        }
    }

    #[test]
    fn a_demo_that_was_not_in_time_is_right_and_one_that_broke_off_is_not() {
        let mut machine = with("memory lock", "ok");
        machine.take("takt-rt-vm: demo-exit 1");
        assert_eq!(machine.wrong(), [""; 0]);
        assert!(machine.table().contains("was not in time"));
        machine.take("takt-rt-vm: demo-exit 137");
        assert_eq!(machine.wrong(), ["the demo ended with 137"]);
    }
}
