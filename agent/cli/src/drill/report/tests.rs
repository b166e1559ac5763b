//! Trials in, verdict out.

use super::*;

fn circumstances(fault: Fault, trials_asked: u32) -> Circumstances {
    Circumstances {
        fault,
        trials_asked,
        seed: 1,
        turbines: 1,
        profile: "fenced".to_owned(),
        dual_writes: 0,
        fenced_off: 0,
        log_missing: 0,
        moved_at_the_end: 0,
        broken_at_the_end: None,
        commands: None,
        stress: None,
        host_probe_blind: None,
    }
}

fn trial(outcome: Outcome) -> Trial {
    Trial::nothing(1, outcome)
}

fn took_over(takeover_ms: f64, host_stall_ms: f64) -> Trial {
    let without_stalls_ms = takeover_ms - host_stall_ms;
    let bump =
        Bump { signal: "pitch", device: 1, raw_percent: 0.7, ordinary_percent: 0.1, percent_of_span: 0.6 };
    let step = Step {
        old_epoch: 1,
        new_epoch: 2,
        device: 1,
        takeover_ms,
        host_stall_ms,
        without_stalls_ms,
        bump: Some(bump),
    };
    Trial { takeovers: vec![step], granted: 1, ..trial(Outcome::TookOver) }
}

fn broken(fault: Fault, trials: Vec<Trial>) -> String {
    let asked = trials.len() as u32;
    Report::new(circumstances(fault, asked), trials).broken.join("; ")
}

#[test]
fn a_crash_that_is_taken_over_in_time_keeps_the_promise() {
    assert_eq!(broken(Fault::Kill, vec![took_over(22.0, 0.0)]), "");
    let late = broken(Fault::Kill, vec![took_over(26.0, 0.0)]);
    assert_eq!(late, "takeover without stalls: p99 26.0 ms is not below 25 ms");
}

#[test]
fn what_the_host_stood_still_is_taken_off_and_the_raw_figure_is_shown() {
    let report = Report::new(circumstances(Fault::Stop, 1), vec![took_over(75.0, 30.0)]);
    assert_eq!(report.broken, Vec::<String>::new());
    assert_eq!(report.takeover_ms.unwrap().max, 75.0);
    assert!(report.text().contains("75.0"), "{}", report.text());
}

#[test]
fn a_bump_is_judged_where_it_is_promised() {
    assert_eq!(broken(Fault::Stop, vec![took_over(40.0, 0.0)]), "");
    assert!(broken(Fault::Planned, vec![took_over(20.0, 0.0)]).contains("bump of pitch: 0.60 %"));
}

#[test]
fn no_trial_vanishes() {
    let missing = trial(Outcome::Missing { devices: vec![3] });
    let failed = trial(Outcome::NotInjected { why: "no root".to_owned() });
    let report = Report::new(
        circumstances(Fault::Kill, 5),
        vec![took_over(20.0, 0.0), missing, failed, trial(Outcome::Stayed)],
    );
    assert_eq!(report.outcomes, Outcomes { took_over: 1, stayed: 1, missing: 1, not_injected: 1 });
    assert_eq!(
        report.broken,
        [
            "1 trials could not be carried out",
            "1 trials left devices without a master",
            "1 trials were not begun",
            "1 trials without the takeover that is promised",
        ]
    );
    assert!(report.text().contains("not carried out: no root"));
    assert!(report.text().contains("devices [3] were not taken over"));
}

#[test]
fn a_takeover_that_nothing_promised_is_false_unless_the_host_explains_it() {
    let moved = Trial { false_takeovers: 1, ..took_over(50.0, 0.0) };
    assert!(broken(Fault::Links, vec![moved.clone()]).starts_with("1 takeovers that nothing promised"));
    let explained = Trial { explained_by_host: true, host_stalls_ms: vec![40.0], ..moved };
    let report = Report::new(circumstances(Fault::Links, 1), vec![explained]);
    assert_eq!(report.broken, Vec::<String>::new());
    assert_eq!(report.false_takeovers, 1, "it is counted all the same");
    assert!(report.text().contains("longest stall of the host 40.0 ms"), "{}", report.text());
}

#[test]
fn switchovers_without_end_have_to_be_limited() {
    let limited = Trial { granted: 1, refused: 9, ..took_over(20.0, 0.0) };
    let mut limited = limited;
    limited.takeovers[0].bump = None;
    assert_eq!(broken(Fault::Flap, vec![limited.clone()]), "");
    let unlimited = Trial { refused: 0, ..limited };
    assert_eq!(broken(Fault::Flap, vec![unlimited]), "1 trials in which every switchover was granted");
}

#[test]
fn what_must_never_happen_breaks_every_drill() {
    let tally = Tally { lost: 1, duplicated: 2, ..Tally::default() };
    let around = Circumstances {
        dual_writes: 3,
        log_missing: 4,
        moved_at_the_end: 1,
        commands: Some(tally),
        ..circumstances(Fault::Peer, 1)
    };
    let report = Report::new(around, vec![trial(Outcome::Stayed)]);
    assert_eq!(report.broken.len(), 5, "{:?}", report.broken);
}

#[test]
fn the_json_has_the_fields_of_the_contract() {
    let report = Report::new(circumstances(Fault::Kill, 1), vec![took_over(20.0, 0.0)]);
    let json = serde_json::to_value(&report).unwrap();
    for field in [
        "/fault",
        "/trials",
        "/takeover_ms/p50",
        "/takeover_ms/p99",
        "/takeover_ms/p999",
        "/takeover_ms/max",
        "/dual_writes",
        "/lost_commands",
        "/duplicated_commands",
        "/max_bump/signal",
        "/max_bump/percent_of_span",
        "/false_takeovers",
        "/profile",
        "/each/0/takeovers/0/takeover_ms",
    ] {
        assert!(json.pointer(field).is_some(), "{field} is missing in {json}");
    }
}
