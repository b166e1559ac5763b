//! The doctor on the machine that runs this test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::in_own_process;
use hal_linux_rt::Errno;
use hal_linux_rt::capability::keep_only;
use hal_linux_rt::cgroup::{CpuQuota, Group, GroupSpec, Layout};
use hal_linux_rt::doctor::{Check, Finding, Request, Status, Verdict, examine};
use hal_linux_rt::memory::read_back;
use hal_linux_rt::thread::Found;

fn brief() -> Request {
    Request { measure_for: Duration::from_millis(50), ..Request::default() }
}

fn finding(findings: &[Finding], check: Check) -> &Finding {
    findings.iter().find(|finding| finding.check == check).unwrap()
}

#[test]
fn every_complaint_says_what_was_found_what_it_means_and_what_to_do() {
    for finding in examine(&brief()) {
        assert!(!finding.found.is_empty(), "{finding:?}");
        let complains = finding.status >= Status::Warning;
        assert_eq!(!finding.meaning.is_empty() && !finding.remedy.is_empty(), complains, "{finding:?}");
    }
}

#[test]
fn an_examination_leaves_the_process_as_it_was() {
    in_own_process("an_examination_leaves_the_process_as_it_was", || {
        let before = (Found::of_current_thread().unwrap(), read_back().unwrap().locked_bytes);
        let _ = examine(&brief());
        assert_eq!((Found::of_current_thread().unwrap(), read_back().unwrap().locked_bytes), before);
    });
}

#[test]
#[cfg_attr(not(takt_sched_fifo), ignore = "needs permission for SCHED_FIFO")]
fn with_permission_the_policy_is_found_fit() {
    let findings = examine(&brief());
    assert_eq!(finding(&findings, Check::Policy).status, Status::Ok);
    assert_eq!(finding(&findings, Check::HelperThreads).status, Status::Ok);
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn a_gate_that_works_is_found_fit_and_leaves_nothing_behind() {
    let findings = examine(&brief());
    let gate = finding(&findings, Check::PacketGate);
    assert_eq!(gate.status, Status::Ok, "{gate:?}");
    assert!(gate.found.contains("blocks writes"), "{gate:?}");
    assert_eq!(hal_linux_rt::lease_gate::current_group().unwrap(), None);
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn gates_that_are_tried_side_by_side_leave_each_other_alone() {
    std::thread::scope(|scope| {
        let trials: Vec<_> = (0..4).map(|_| scope.spawn(|| examine(&brief()))).collect();
        for trial in trials {
            let findings = trial.join().unwrap();
            let gate = finding(&findings, Check::PacketGate);
            assert_eq!(gate.status, Status::Ok, "{gate:?}");
        }
    });
}

#[test]
fn without_permission_the_policy_is_a_failure_with_its_errno() {
    in_own_process("without_permission_the_policy_is_a_failure_with_its_errno", || {
        keep_only(&[]).unwrap();
        let findings = examine(&brief());
        let policy = finding(&findings, Check::Policy);
        assert_eq!((policy.status, policy.errno), (Status::Failure, Some(Errno::EPERM)), "{policy:?}");
        assert!(policy.remedy.contains("CAP_SYS_NICE"));
        assert_eq!(finding(&findings, Check::PacketGate).status, Status::Warning);
        assert_eq!(Verdict::of(&findings), Verdict::Unfit);
    });
}

#[test]
fn a_core_that_does_not_exist_is_a_failure_with_its_errno() {
    let findings = examine(&Request { core: Some(1023), ..brief() });
    let cores = finding(&findings, Check::Cores);
    assert_eq!((cores.status, cores.errno), (Status::Failure, Some(Errno::EINVAL)));
}

#[test]
#[cfg_attr(not(takt_cgroup_v1_rt), ignore = "needs cgroup v1 with RT_GROUP_SCHED")]
fn a_group_without_budget_is_found_and_named_as_the_cause() {
    in_own_process("a_group_without_budget_is_found_and_named_as_the_cause", || {
        let spec = GroupSpec {
            name: format!("takt-test-doctor-{}", std::process::id()),
            cores: None,
            memory_bytes_max: None,
            cpu_quota: Some(CpuQuota { quota: None, period: Duration::from_millis(100) }),
            rt_budget: None,
        };
        let (group, _) = Group::create(&Layout::detect().unwrap(), &spec).unwrap();
        group.join_process(std::process::id()).unwrap();
        let findings = examine(&brief());
        group.release_process(std::process::id()).unwrap();
        group.remove().unwrap();

        let budget = finding(&findings, Check::RealTimeBudget);
        assert_eq!(budget.status, Status::Failure);
        assert!(
            budget.found.contains(&spec.name) && budget.remedy.contains("cpu.rt_runtime_us"),
            "{budget:?}"
        );
        let policy = finding(&findings, Check::Policy);
        assert_eq!((policy.status, policy.errno), (Status::Failure, Some(Errno::EPERM)));
        assert!(policy.meaning.contains("budget"), "{policy:?}");
    });
}
