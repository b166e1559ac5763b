//! What a host would see of an edge node.

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn topics() -> SparkplugTopics {
    SparkplugTopics { group: name("wind"), node: name("north") }
}

fn node() -> EdgeNode {
    let fields =
        vec![StateField { name: "power_kw", dead_band: 25.0 }, StateField { name: "mode", dead_band: 0.0 }];
    EdgeNode::new(topics(), 254).with(name("WT01"), fields, &["derate", "stop"])
}

fn values(power_kw: f64, mode: &'static str) -> Option<Vec<StateValue>> {
    Some(vec![StateValue::Number(power_kw), StateValue::Word(mode)])
}

fn read(message: &SparkplugMessage) -> (String, Payload) {
    let kind = message.topic.split('/').nth(2).unwrap().to_owned();
    (kind, Payload::decode(message.payload.as_slice()).unwrap())
}

fn names(payload: &Payload) -> Vec<&str> {
    payload.metrics.iter().map(|metric| metric.name.as_deref().unwrap()).collect()
}

#[test]
fn a_session_begins_with_the_birth_of_the_node_and_of_each_device_that_can_be_trusted() {
    let mut node = node();
    assert_eq!(node.observe(&name("WT01"), values(100.0, "run"), 1), None);
    let births = node.connected(5);
    let (kind, payload) = read(&births[0]);
    assert_eq!((kind.as_str(), payload.seq), ("NBIRTH", Some(0)));
    assert_eq!(names(&payload), ["bdSeq", REBIRTH]);
    assert_eq!(payload.metrics[0].value, Some(Value::Long(254)));
    assert_eq!(births[1].topic, "spBv1.0/wind/DBIRTH/north/WT01");
    let (_, payload) = read(&births[1]);
    assert_eq!(payload.seq, Some(1));
    assert_eq!(names(&payload), ["power_kw", "mode", "Command/derate", "Command/stop"]);
}

#[test]
fn data_holds_what_changed_beyond_its_dead_band_and_nothing_else() {
    let mut node = node();
    node.connected(0);
    let wt = name("WT01");
    assert_eq!(read(&node.observe(&wt, values(100.0, "run"), 1).unwrap()).0, "DBIRTH");
    assert_eq!(node.observe(&wt, values(120.0, "run"), 2), None);
    let (kind, payload) = read(&node.observe(&wt, values(130.0, "run"), 3).unwrap());
    assert_eq!((kind.as_str(), names(&payload), payload.seq), ("DDATA", vec!["power_kw"], Some(2)));
}

#[test]
fn a_device_that_cannot_be_trusted_dies_and_is_born_again() {
    let mut node = node();
    node.connected(0);
    let wt = name("WT01");
    let kinds = [values(1.0, "run"), None, None, values(2.0, "run")]
        .map(|values| node.observe(&wt, values, 1).map(|message| read(&message).0));
    let kinds: Vec<_> = kinds.iter().map(Option::as_deref).collect();
    assert_eq!(kinds, [Some("DBIRTH"), Some("DDEATH"), None, Some("DBIRTH")]);
}

#[test]
fn the_sequence_wraps_after_255_and_begins_anew_with_a_birth() {
    let mut node = node();
    node.connected(0);
    let wt = name("WT01");
    let mut seqs = Vec::new();
    for step in 0..300 {
        let message = node.observe(&wt, values(f64::from(step) * 100.0, "run"), 1).unwrap();
        seqs.push(read(&message).1.seq.unwrap());
    }
    assert_eq!((seqs[0], seqs[254], seqs[255], seqs[256]), (1, 255, 0, 1));
    assert_eq!(read(&node.connected(2)[0]).1.seq, Some(0));
}

#[test]
fn will_and_birth_of_a_session_bear_one_number_and_the_next_session_another() {
    let mut node = node();
    let number = |message: &SparkplugMessage| read(message).1.metrics[0].value.clone();
    let will = node.will(0);
    assert_eq!((read(&will).0.as_str(), read(&will).1.seq), ("NDEATH", None));
    assert_eq!(number(&will), number(&node.connected(0)[0]));
    node.lost();
    assert_eq!(number(&node.will(1)), Some(Value::Long(0)));
    assert_eq!(number(&node.will(1)), number(&node.connected(1)[0]));
}

#[test]
fn a_host_that_asks_for_it_gets_all_births_anew() {
    let mut node = node();
    node.connected(0);
    node.observe(&name("WT01"), values(1.0, "run"), 1);
    let ask = |value| Payload { timestamp: None, metrics: vec![Metric::flag(REBIRTH, 0, value)], seq: None };
    let topic = "spBv1.0/wind/NCMD/north";
    let births = node.command(topic, &ask(true).encode_to_vec(), 2);
    assert_eq!(births.iter().map(|birth| read(birth).0).collect::<Vec<_>>(), ["NBIRTH", "DBIRTH"]);
    assert!(node.command(topic, &ask(false).encode_to_vec(), 3).is_empty());
    assert!(node.command("spBv1.0/wind/NCMD/south", &ask(true).encode_to_vec(), 3).is_empty());
    assert!(node.command(topic, b"\xff\xff", 3).is_empty());
}

fn write(metrics: Vec<Metric>) -> Vec<u8> {
    Payload { timestamp: Some(1), metrics, seq: None }.encode_to_vec()
}

#[test]
fn a_write_without_number_and_expiry_is_refused_and_one_with_them_is_taken_out() {
    let mut command = Metric::writable("Command/stop", 1);
    command.value = Some(Value::Text("{}".to_owned()));
    let ok = command_in(&write(vec![command.clone()]), 4096);
    assert_eq!(ok, Ok(("stop".to_owned(), "{}".to_owned())));
    let bare = Metric::of("power_limit_kw", 1, StateValue::Number(2000.0));
    let codes = [
        write(vec![bare]),
        write(vec![Metric::flag("Command/stop", 1, true)]),
        write(vec![command.clone(), command]),
        write(Vec::new()),
        b"\x07rubbish".to_vec(),
        vec![0; 5000],
    ]
    .map(|payload| command_in(&payload, 4096).unwrap_err().code());
    assert_eq!(codes, ["bare-write", "bare-write", "malformed", "malformed", "malformed", "too-large"]);
}
