//! The embedded broker carries what Takt needs of MQTT 5, and serves MQTT 3.1.1 clients on the same port.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
use rumqttc::v5::{Client, Connection, Event, MqttOptions};
use sim_broker::{BrokerError, EmbeddedBroker};

fn broker() -> EmbeddedBroker {
    EmbeddedBroker::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap()
}

fn subscriber(broker: &EmbeddedBroker, id: &str, filter: &str) -> (Client, Connection) {
    let address = broker.address();
    let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut connection) = Client::new(options, 16);
    client.subscribe(filter, QoS::AtLeastOnce).unwrap();
    loop {
        let event = connection.recv_timeout(Duration::from_secs(10)).unwrap().unwrap();
        if let Event::Incoming(Packet::SubAck(_)) = event {
            return (client, connection);
        }
    }
}

fn next_publish(connection: &mut Connection) -> Publish {
    loop {
        let event = connection.recv_timeout(Duration::from_secs(10)).unwrap().unwrap();
        if let Event::Incoming(Packet::Publish(publish)) = event {
            return publish;
        }
    }
}

#[test]
fn properties_of_mqtt_5_arrive_unchanged() {
    let broker = broker();
    let (client, mut connection) = subscriber(&broker, "five", "takt/v1/site/t1/cmd/+");
    let sent = PublishProperties {
        response_topic: Some("answers/op1".to_owned()),
        correlation_data: Some(vec![0, 255, 7].into()),
        user_properties: vec![("takt-seq".to_owned(), "42".to_owned())],
        ..PublishProperties::default()
    };
    client
        .publish_with_properties("takt/v1/site/t1/cmd/stop", QoS::AtLeastOnce, false, "{}", sent.clone())
        .unwrap();
    let received = next_publish(&mut connection);
    assert_eq!(&received.payload[..], b"{}");
    let properties = received.properties.unwrap();
    assert_eq!(properties.response_topic, sent.response_topic);
    assert_eq!(properties.correlation_data, sent.correlation_data);
    assert_eq!(properties.user_properties, sent.user_properties);
}

#[test]
fn a_publisher_of_mqtt_3_1_1_reaches_a_subscriber_of_mqtt_5_on_one_port() {
    let broker = broker();
    let (_client, mut connection) = subscriber(&broker, "five", "plant/#");
    let address = broker.address();
    let options = rumqttc::MqttOptions::new("four", address.ip().to_string(), address.port());
    let (old, mut old_connection) = rumqttc::Client::new(options, 4);
    old.publish("plant/stop", rumqttc::QoS::AtLeastOnce, false, "now").unwrap();
    loop {
        let event = old_connection.recv_timeout(Duration::from_secs(10)).unwrap().unwrap();
        if let rumqttc::Event::Incoming(rumqttc::Packet::PubAck(_)) = event {
            break;
        }
    }
    assert_eq!(&next_publish(&mut connection).payload[..], b"now");
}

#[test]
fn a_retained_message_waits_for_the_subscriber() {
    let broker = broker();
    let (client, mut connection) = subscriber(&broker, "first", "takt/v1/site/t1/state");
    client.publish("takt/v1/site/t1/state", QoS::AtLeastOnce, true, "running").unwrap();
    assert_eq!(&next_publish(&mut connection).payload[..], b"running");
    let (_late, mut late_connection) = subscriber(&broker, "late", "takt/v1/site/t1/state");
    assert_eq!(&next_publish(&mut late_connection).payload[..], b"running");
}

#[test]
fn a_taken_address_is_refused_with_its_name() {
    let broker = broker();
    let error = EmbeddedBroker::start(broker.address()).unwrap_err();
    assert!(matches!(error, BrokerError::Listen { .. }));
    assert!(error.to_string().contains(&broker.address().to_string()), "{error}");
}

#[test]
fn a_dropped_broker_no_longer_answers() {
    let address = broker().address();
    let gone = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        TcpStream::connect(address).is_err()
    });
    assert!(gone, "{address} still accepts");
}

/// A CONNECT with clean start and keep-alive 10 s; level 4 is MQTT 3.1.1, level 5 is MQTT 5.
fn connect_packet(level: u8, client_id: &str) -> Vec<u8> {
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    let mut connect = vec![0x10, (12 + properties.len() + client_id.len()) as u8, 0, 4];
    connect.extend_from_slice(b"MQTT");
    connect.extend_from_slice(&[level, 0b10, 0, 10]);
    connect.extend_from_slice(properties);
    connect.extend_from_slice(&[0, client_id.len() as u8]);
    connect.extend_from_slice(client_id.as_bytes());
    connect
}

/// Connects, waits for the CONNACK, and gives the connection.
fn connected(broker: &EmbeddedBroker, level: u8, client_id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(broker.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(&connect_packet(level, client_id)).unwrap();
    let mut first_byte = [0];
    stream.read_exact(&mut first_byte).unwrap_or_else(|error| panic!("{client_id} is not answered: {error}"));
    assert_eq!(first_byte, [0x20], "{client_id}");
    stream
}

/// The kernel takes up to 40 ms to acknowledge what somebody hears who speaks now and then, and what the broker says must not
/// wait for that.
#[test]
fn a_message_that_follows_another_one_soon_is_not_held_back() {
    let broker = broker();
    let mut subscriber = connected(&broker, 4, "subscriber");
    subscriber.read_exact(&mut [0; 3]).unwrap();
    subscriber.write_all(&[0x82, 6, 0, 1, 0, 1, b't', 0]).unwrap();
    subscriber.read_exact(&mut [0; 5]).unwrap();
    let mut publisher = connected(&broker, 4, "publisher");
    publisher.set_nodelay(true).unwrap();
    let publish = [0x30, 5, 0, 1, b't', b'o', b'n'];
    let mut took = Vec::new();
    for _ in 0..101 {
        publisher.write_all(&publish).unwrap();
        std::thread::sleep(Duration::from_millis(3));
        let sent = Instant::now();
        publisher.write_all(&publish).unwrap();
        subscriber.read_exact(&mut [0; 14]).unwrap();
        took.push(sent.elapsed());
        subscriber.write_all(&[0x30, 5, 0, 1, b'u', b'o', b'n']).unwrap();
    }
    took.sort();
    assert!(took[50] < Duration::from_millis(20), "{took:?}");
}

/// The broker behind the front, left alone with that, mixes connections up and breaks down for good.
#[test]
fn clients_that_come_and_go_at_the_same_time_are_all_answered() {
    let broker = broker();
    for round in 0..300_u16 {
        let mut stream = connected(&broker, 4 + (round % 2) as u8, &format!("client-{}", round % 3));
        let disconnect = [0xE0, 0];
        stream.write_all(&disconnect).unwrap();
    }
}

#[test]
fn a_client_that_comes_again_while_it_is_there_takes_over() {
    let broker = broker();
    let mut former = connected(&broker, 5, "node");
    for level in [4, 5, 5, 4] {
        let next = connected(&broker, level, "node");
        assert_eq!(
            former.read_to_end(&mut Vec::new()).ok().map(drop),
            Some(()),
            "the former one is still there"
        );
        former = next;
    }
}

#[test]
fn clients_that_hang_up_during_the_handshake_do_no_harm() {
    let broker = broker();
    let connect = connect_packet(5, "hasty");
    for _ in 0..200 {
        let mut stream = TcpStream::connect(broker.address()).unwrap();
        stream.write_all(&connect).unwrap();
    }
    let address = broker.address();
    let options = MqttOptions::new("hasty", address.ip().to_string(), address.port());
    let (_client, mut connection) = Client::new(options, 16);
    // A late one of the hasty clients may take the session over: then this one connects once more.
    let connects = (0..50).any(|_| {
        let event = connection.recv_timeout(Duration::from_secs(10)).unwrap();
        matches!(event, Ok(Event::Incoming(Packet::ConnAck(_))))
    });
    assert!(connects, "the broker is out of order");
}
