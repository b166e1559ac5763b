//! The site as a Sparkplug edge node: the real agent, and a host at its broker.

use hal_mqtt::client::BrokerUrl;
use hal_mqtt::plain::{PlainEvent, PlainLink, PlainOptions};
use hal_mqtt::sparkplug::payload::{Metric, Payload, Value};
use hal_units::Instant;
use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use sim_broker::EmbeddedBroker;

use crate::agent::{Site, WITHIN, until};
use crate::broker;
use crate::field::Field;

/// A host that hears all of the edge node.
struct Host(PlainLink);

impl Host {
    fn at(broker: &EmbeddedBroker) -> Self {
        let mut link = PlainLink::new(PlainOptions {
            broker: BrokerUrl::parse(&broker.url()).unwrap(),
            client_id: "host".to_owned(),
            credentials: None,
            filters: vec!["spBv1.0/wind/#".to_owned()],
            last_will: None,
            queue: 256,
        })
        .unwrap();
        link.set_open(now(), true);
        until("the host is connected", WITHIN, || {
            matches!(link.next(now()), Some(PlainEvent::Connected)).then_some(())
        });
        Self(link)
    }

    /// The next message on a topic; others are passed over.
    fn hears(&mut self, wanted: &str) -> Vec<u8> {
        until(wanted, WITHIN, || match self.0.next(now()) {
            Some(PlainEvent::Arrived { topic, payload }) if topic == wanted => Some(payload),
            _ => None,
        })
    }

    fn hears_payload(&mut self, wanted: &str) -> Payload {
        Payload::decode(self.hears(wanted).as_slice()).unwrap()
    }
}

fn now() -> Instant {
    hal_linux_rt::clock::now()
}

#[test]
fn a_host_sees_the_site_is_born_commands_it_and_sees_it_die() {
    let (field, broker) = (Field::in_wind(1, 12.0), broker());
    let mut host = Host::at(&broker);
    let site = Site::over(&field.addresses()).with_broker(&broker.url()).with_sparkplug("wind");
    let agent = site.start();
    let birth = host.hears_payload("spBv1.0/wind/NBIRTH/test-site");
    let unit = host.hears_payload("spBv1.0/wind/DBIRTH/test-site/WT01");
    assert_eq!((birth.seq, unit.seq), (Some(0), Some(1)));
    let names: Vec<_> = unit.metrics.iter().filter_map(|metric| metric.name.as_deref()).collect();
    assert!(names.contains(&"power_kw") && names.contains(&"Command/derate"), "{names:?}");
    agent.until_all_run();

    let (at, expires) = (Timestamp::now(), Timestamp::now() + SignedDuration::from_secs(30));
    let mut command = Metric::writable("Command/derate", 1);
    command.value = Some(Value::Text(format!(
        r#"{{"id":"d1","seq":1,"issuer":"host","issuedAt":"{at}","expiresAt":"{expires}","body":{{"power_limit_kw":2000}}}}"#
    )));
    let order = Payload { timestamp: Some(1), metrics: vec![command], seq: None };
    agent.until("the agent is connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));
    assert!(host.0.send("spBv1.0/wind/DCMD/test-site/WT01", order.encode_to_vec()));
    let after = agent.until("the limit is in force", |report| report.units[0].power_limit_kw == 2000.0);
    assert_eq!((after.commands.acknowledged, after.commands.refused), (1, 0));

    drop(agent);
    let death = host.hears_payload("spBv1.0/wind/NDEATH/test-site");
    assert_eq!(death.metrics[0].value, birth.metrics[0].value, "the session's number");
}
