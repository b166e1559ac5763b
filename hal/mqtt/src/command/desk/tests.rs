//! From a message of the broker to an answer and a command for the agent, over restarts and bad disks.

use super::super::fixtures::{Order, SITE, after_noon, gate, noon, order};
use super::*;
use crate::log::sim_disk::{SimDisk, Unsynced};
use crate::topic::Name;

fn desk(disk: &SimDisk) -> CommandDesk<SimDisk> {
    CommandDesk::open(Topics::new(Name::new(SITE).unwrap()), gate(), disk.clone()).unwrap()
}

/// What arrives for an order, with a response topic and correlation data.
fn send(desk: &mut CommandDesk<SimDisk>, now: Timestamp, order: &Order) -> Reaction {
    let (topic, payload) = (order.topic(), order.payload());
    let arrival = Arrival {
        topic: topic.as_bytes(),
        payload: payload.as_bytes(),
        retain: false,
        response_topic: Some("answers/op1"),
        correlation: Some(b"\x01\x02"),
    };
    desk.receive(now, &arrival, true)
}

fn accepted(reaction: &Reaction) -> &IncomingCommand {
    match &reaction.verdict {
        Verdict::Accepted(command) => command,
        Verdict::Repeated | Verdict::Refused(_) => panic!("{reaction:?}"),
    }
}

fn refused(reaction: &Reaction) -> &'static str {
    match &reaction.verdict {
        Verdict::Refused(refusal) => refusal.code(),
        Verdict::Repeated | Verdict::Accepted(_) => panic!("{reaction:?}"),
    }
}

fn json(answer: &Message) -> serde_json::Value {
    serde_json::from_slice(&answer.payload).unwrap()
}

fn status(reaction: &Reaction) -> String {
    json(reaction.answer.as_ref().unwrap())["status"].as_str().unwrap().to_owned()
}

#[test]
fn an_accepted_command_is_answered_where_the_issuer_asked() {
    let reaction = send(&mut desk(&SimDisk::default()), noon(), &order(1));
    let command = accepted(&reaction);
    assert_eq!((command.number, command.redelivered), (CommandNumber(1), false));
    let answer = reaction.answer.unwrap();
    assert_eq!(answer.topic, "answers/op1");
    assert_eq!(answer.correlation.as_deref(), Some(&b"\x01\x02"[..]));
    let expected = serde_json::json!({
        "id": "c1", "unit": "wt-01", "command": "stop", "status": "accepted", "at": "2026-05-17T12:00:00Z",
    });
    assert_eq!(json(&answer), expected);
}

#[test]
fn a_refused_command_is_answered_with_reason_and_text() {
    let mut desk = desk(&SimDisk::default());
    let reaction = send(&mut desk, after_noon(61), &order(1));
    assert_eq!(refused(&reaction), "expired");
    let answer = json(&reaction.answer.unwrap());
    assert_eq!(
        (&answer["id"], &answer["status"], &answer["reason"]),
        (&"c1".into(), &"refused".into(), &"expired".into())
    );
    assert!(answer["text"].as_str().unwrap().contains("1000 ms ago"), "{answer}");
}

#[test]
fn without_a_response_topic_the_answer_goes_below_the_command() {
    let arrival = Arrival {
        topic: b"takt/v1/north/wt-01/cmd/stop",
        payload: b"?",
        retain: false,
        response_topic: None,
        correlation: None,
    };
    let reaction = desk(&SimDisk::default()).receive(noon(), &arrival, true);
    let answer = reaction.answer.unwrap();
    assert_eq!(answer.topic, "takt/v1/north/wt-01/cmd/stop/ack");
    assert_eq!(json(&answer)["id"], serde_json::Value::Null);
}

#[test]
fn arrivals_that_would_mislead_are_refused() {
    let disk = SimDisk::default();
    let (topic, payload) = (order(1).topic(), order(1).payload());
    let good = Arrival {
        topic: topic.as_bytes(),
        payload: payload.as_bytes(),
        retain: false,
        response_topic: None,
        correlation: None,
    };
    let check = |arrival: Arrival<'_>, expected: &str, is_answered: bool| {
        let reaction = desk(&disk).receive(noon(), &arrival, true);
        assert_eq!((refused(&reaction), reaction.answer.is_some()), (expected, is_answered), "{arrival:?}");
        if let Some(answer) = reaction.answer {
            answer.check().unwrap();
        }
    };
    check(Arrival { retain: true, ..good }, "retained", true);
    check(Arrival { topic: b"takt/v1/north/wt-01/state", ..good }, "not-a-command", false);
    check(Arrival { topic: &[0xff], ..good }, "not-a-command", false);
    check(Arrival { response_topic: Some("a/#"), ..good }, "bad-response-topic", true);
    check(Arrival { response_topic: Some("$SYS/x"), ..good }, "bad-response-topic", true);
    check(Arrival { response_topic: Some("takt/v1/north/wt-01/state"), ..good }, "bad-response-topic", true);
    check(Arrival { correlation: Some(&[0; 1025]), ..good }, "correlation-too-long", true);
    let long_name = format!("takt/v1/north/wt-01/cmd/{}", "x".repeat(600));
    check(Arrival { topic: long_name.as_bytes(), ..good }, "unknown-command", false);
}

#[test]
fn a_busy_agent_refuses_and_the_same_command_passes_later() {
    let disk = SimDisk::default();
    let mut desk = desk(&disk);
    let (topic, payload) = (order(1).topic(), order(1).payload());
    let arrival = Arrival {
        topic: topic.as_bytes(),
        payload: payload.as_bytes(),
        retain: false,
        response_topic: None,
        correlation: None,
    };
    assert_eq!(refused(&desk.receive(noon(), &arrival, false)), "busy");
    accepted(&desk.receive(noon(), &arrival, true));
}

#[test]
fn the_outcome_is_told_once_it_is_on_disk() {
    let mut desk = desk(&SimDisk::default());
    let number = accepted(&send(&mut desk, noon(), &order(1))).number;
    let answer = desk.conclude(noon(), number, Outcome::Failed { text: "brake fault".to_owned() }).unwrap();
    assert_eq!((&json(&answer)["status"], &json(&answer)["text"]), (&"failed".into(), &"brake fault".into()));
    assert_eq!(answer.topic, "answers/op1");
    let again = desk.conclude(noon(), number, Outcome::Executed(None)).unwrap_err();
    assert!(matches!(again, ConcludeError::Unknown(CommandNumber(1))));
}

#[test]
fn a_repetition_is_told_what_became_of_the_first() {
    let mut desk = desk(&SimDisk::default());
    let number = accepted(&send(&mut desk, noon(), &order(1))).number;
    let second = send(&mut desk, noon(), &order(1));
    assert_eq!((&second.verdict, status(&second).as_str()), (&Verdict::Repeated, "accepted"));
    desk.conclude(noon(), number, Outcome::Executed(None)).unwrap();
    let third = send(&mut desk, after_noon(100), &order(1));
    assert_eq!((&third.verdict, status(&third).as_str()), (&Verdict::Repeated, "executed"));
    assert_eq!(json(&third.answer.unwrap())["repeated"], true);
}

#[test]
fn after_a_restart_only_what_is_not_concluded_is_handed_out() {
    let disk = SimDisk::default();
    {
        let mut desk = desk(&disk);
        let first = accepted(&send(&mut desk, noon(), &order(1))).number;
        accepted(&send(&mut desk, noon(), &order(2)));
        desk.conclude(noon(), first, Outcome::Executed(None)).unwrap();
    }
    let mut desk = desk(&disk);
    let (commands, answers) = desk.recover(after_noon(1)).unwrap();
    assert_eq!(answers, []);
    let handed_out: Vec<_> =
        commands.iter().map(|command| (command.id.as_str(), command.redelivered)).collect();
    assert_eq!(handed_out, [("c2", true)]);
    assert_eq!(status(&send(&mut desk, after_noon(2), &order(1))), "executed");
    assert_eq!(status(&send(&mut desk, after_noon(2), &order(2))), "accepted");
    assert_eq!(accepted(&send(&mut desk, after_noon(2), &order(3))).number, CommandNumber(3));
}

#[test]
fn a_command_whose_time_passed_while_the_agent_was_down_is_not_carried_out() {
    let disk = SimDisk::default();
    accepted(&send(&mut desk(&disk), noon(), &order(1)));
    let (commands, answers) = desk(&disk).recover(after_noon(60)).unwrap();
    assert_eq!(commands, []);
    assert_eq!(json(&answers[0])["status"], "expired");
    assert_eq!(desk(&disk).recover(after_noon(60)).unwrap(), (vec![], vec![]), "it is told once");
}

#[test]
fn a_command_that_cannot_be_written_is_refused_and_leaves_no_trace() {
    let disk = SimDisk::default();
    let mut desk = desk(&disk);
    accepted(&send(&mut desk, noon(), &order(1)));
    disk.fail_next_sync();
    assert_eq!(refused(&send(&mut desk, noon(), &order(2))), "storage");
    let other = Order { id: "other".to_owned(), ..order(2) };
    accepted(&send(&mut desk, noon(), &other));
    let (commands, _) = self::desk(&disk).recover(noon()).unwrap();
    let ids: Vec<_> = commands.iter().map(|command| command.id.as_str()).collect();
    assert_eq!(ids, ["c1", "other"]);
}

#[test]
fn an_outcome_that_cannot_be_written_is_told_after_mending() {
    let disk = SimDisk::default();
    let mut desk = desk(&disk);
    let number = accepted(&send(&mut desk, noon(), &order(1))).number;
    disk.fail_next_sync();
    assert!(matches!(desk.conclude(noon(), number, Outcome::Executed(None)), Err(ConcludeError::Journal(_))));
    assert_eq!(status(&send(&mut desk, noon(), &order(1))), "accepted", "it is not on disk yet");
    assert!(desk.is_broken());
    let answers = desk.mend(noon()).unwrap();
    assert_eq!(json(&answers[0])["status"], "executed");
    assert_eq!(self::desk(&disk).recover(noon()).unwrap(), (vec![], vec![]));
}

/// Accepts, concludes and restarts until the power fails; then nothing that was told may be untrue.
#[test]
fn a_crash_at_any_byte_neither_loses_nor_repeats_a_command() {
    let run = |disk: &SimDisk, told_accepted: &mut Vec<u64>, told_executed: &mut Vec<u64>| -> Option<()> {
        let topics = Topics::new(Name::new(SITE).unwrap());
        let mut desk = CommandDesk::open(topics, gate(), disk.clone()).ok()?;
        for seq in 1..=6 {
            let now = after_noon(30 * seq as i64);
            let order = Order { issued_s: 30 * seq as i64, expires_s: 30 * seq as i64 + 500, ..order(seq) };
            let order = Order { issuer: format!("op{}", seq % 2), ..order };
            let reaction = send(&mut desk, now, &order);
            match &reaction.verdict {
                Verdict::Accepted(command) => {
                    told_accepted.push(seq);
                    if seq % 3 != 0 {
                        desk.conclude(now, command.number, Outcome::Executed(None)).ok()?;
                        told_executed.push(seq);
                    }
                }
                Verdict::Repeated => panic!("{reaction:?}"),
                Verdict::Refused(_) => return None,
            }
            if seq == 4 {
                desk.mend(now).ok()?;
            }
        }
        Some(())
    };
    let whole = SimDisk::default();
    whole.power_fails_after(u64::MAX);
    run(&whole, &mut vec![], &mut vec![]).unwrap();
    for fuel in 0..whole.spent() {
        for unsynced in [Unsynced::Kept, Unsynced::Lost, Unsynced::Cut(fuel), Unsynced::Zeroed(fuel)] {
            let disk = SimDisk::default();
            disk.power_fails_after(fuel);
            let (mut told_accepted, mut told_executed) = (vec![], vec![]);
            run(&disk, &mut told_accepted, &mut told_executed);
            disk.power_returns(unsynced);
            let (commands, _) = desk(&disk).recover(after_noon(280)).unwrap();
            let found: Vec<_> =
                commands.iter().map(|command| command.id.trim_start_matches('c').parse().unwrap()).collect();
            for seq in &told_accepted {
                let due = !told_executed.contains(seq);
                // One that was being concluded when the power failed may be found either way.
                let is_last = Some(seq) == told_accepted.last();
                assert!(!due || is_last || found.contains(seq), "{seq} was accepted and is lost: {found:?}");
                assert!(due || !found.contains(seq), "{seq} was executed and is back: {found:?}");
            }
        }
    }
}
