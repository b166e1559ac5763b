//! The arbiter's client against a small Modbus TCP server that is written here from the standard.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use failover_link::{ArbiterClient, ArbiterConfig, ArbiterFault, ArbiterVariant};
use failover_protocol::{ArbiterImage, ArbiterOp, Epoch, Node};
use hal_modbus::Fault;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BASE: u16 = 200;
const TIMEOUT: Duration = Duration::from_millis(150);
const VARIANTS: [ArbiterVariant; 2] = [ArbiterVariant::Exchange, ArbiterVariant::Separate];

/// What the device does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Serves,
    /// Carries out so many more requests, and says nothing from then on.
    SilentAfter(u32),
    /// Knows no such function.
    LacksFunction(u8),
    /// Closes the connection after each answer.
    Closes,
    /// Answers with another value than was written.
    Garbles,
}

#[derive(Debug)]
struct Bank {
    words: [u16; 4],
    /// Addresses in the order in which they were written.
    written: Vec<u16>,
    mood: Mood,
    connections: u32,
}

impl Bank {
    fn write(&mut self, address: u16, word: u16) {
        self.words[usize::from(address - BASE)] = word;
        self.written.push(address);
    }

    /// The answer's PDU, `None` for silence.
    fn serve(&mut self, pdu: &[u8]) -> Option<Vec<u8>> {
        let word = |at: usize| u16::from_be_bytes([pdu[at], pdu[at + 1]]);
        if self.mood == Mood::LacksFunction(pdu[0]) {
            return Some(vec![pdu[0] | 0x80, 1]);
        }
        if let Mood::SilentAfter(left) = &mut self.mood {
            if *left == 0 {
                return None;
            }
            *left -= 1;
        }
        match pdu[0] {
            3 => assert_eq!((word(1), word(3)), (BASE, 4)),
            6 => {
                self.write(word(1), word(3));
                let mut echo = pdu.to_vec();
                echo[4] ^= u8::from(self.mood == Mood::Garbles);
                return Some(echo);
            }
            23 => {
                assert_eq!((word(1), word(3), word(7), pdu[9]), (BASE, 4, 2, 4));
                self.write(word(5), word(10));
                self.write(word(5) + 1, word(12));
            }
            other => panic!("function {other}"),
        }
        let words = self.words.iter().flat_map(|word| word.to_be_bytes());
        Some([pdu[0], 8].into_iter().chain(words).collect())
    }
}

struct Device {
    address: SocketAddr,
    bank: Arc<Mutex<Bank>>,
}

impl Device {
    async fn start(words: [u16; 4]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bank = Bank { words, written: Vec::new(), mood: Mood::Serves, connections: 0 };
        let bank = Arc::new(Mutex::new(bank));
        let shared = Arc::clone(&bank);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, bank }
    }

    fn mood(&self, mood: Mood) {
        self.bank.lock().unwrap().mood = mood;
    }

    fn words(&self) -> [u16; 4] {
        self.bank.lock().unwrap().words
    }

    fn written(&self) -> Vec<u16> {
        self.bank.lock().unwrap().written.clone()
    }

    fn connections(&self) -> u32 {
        self.bank.lock().unwrap().connections
    }

    fn client(&self, node: Node, variant: ArbiterVariant) -> ArbiterClient {
        ArbiterClient::new(config(self.address, node, variant))
    }
}

fn config(address: SocketAddr, node: Node, variant: ArbiterVariant) -> ArbiterConfig {
    ArbiterConfig { address, unit_id: 1, base: BASE, variant, node, timeout: TIMEOUT, exempt: false }
}

async fn serve(mut stream: TcpStream, bank: Arc<Mutex<Bank>>) {
    let mut head = [0; 7];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
        let mut pdu = vec![0; length - 1];
        stream.read_exact(&mut pdu).await.unwrap();
        let (answer, mood) = {
            let mut bank = bank.lock().unwrap();
            (bank.serve(&pdu), bank.mood)
        };
        let Some(answer) = answer else { continue };
        let length = u16::try_from(answer.len() + 1).unwrap().to_be_bytes();
        let frame = [&head[..4], &length, &head[6..7], &answer].concat();
        if stream.write_all(&frame).await.is_err() || mood == Mood::Closes {
            return;
        }
    }
}

fn write(epoch: u16, counter: u16) -> ArbiterOp {
    ArbiterOp { write: Some((Epoch(epoch), counter)) }
}

const LOOK: ArbiterOp = ArbiterOp { write: None };

#[tokio::test]
async fn each_node_sees_its_own_pair_and_the_peers() {
    let device = Device::start([1, 2, 3, 4]).await;
    for variant in VARIANTS {
        let image = |own_slot, own_counter, peer_slot, peer_counter| ArbiterImage {
            own_slot: Epoch(own_slot),
            own_counter,
            peer_slot: Epoch(peer_slot),
            peer_counter,
        };
        assert_eq!(device.client(Node::A, variant).transact(LOOK).await, Ok(image(1, 2, 3, 4)));
        assert_eq!(device.client(Node::B, variant).transact(LOOK).await, Ok(image(3, 4, 1, 2)));
    }
    assert!(device.written().is_empty());
}

#[tokio::test]
async fn a_transaction_writes_the_own_pair_alone_and_reads_afterwards() {
    for variant in VARIANTS {
        let device = Device::start([1, 2, 3, 4]).await;
        let image = device.client(Node::B, variant).transact(write(9, 77)).await.unwrap();
        assert_eq!((image.own_slot, image.own_counter, image.peer_slot), (Epoch(9), 77, Epoch(1)));
        assert_eq!(device.words(), [1, 2, 9, 77]);
    }
}

#[tokio::test]
async fn without_exchange_the_slot_is_written_last() {
    let device = Device::start([0; 4]).await;
    device.client(Node::A, ArbiterVariant::Separate).transact(write(9, 77)).await.unwrap();
    assert_eq!(device.written(), [BASE + 1, BASE]);
    // Broken off in between, no claim stands.
    device.mood(Mood::SilentAfter(1));
    let broken = device.client(Node::A, ArbiterVariant::Separate).transact(write(10, 78)).await;
    assert_eq!(broken, Err(ArbiterFault::NoAnswer));
    assert_eq!(device.words(), [9, 78, 0, 0]);
}

#[tokio::test]
async fn one_connection_serves_many_transactions() {
    for variant in VARIANTS {
        let device = Device::start([0; 4]).await;
        let mut client = device.client(Node::A, variant);
        client.connect().await.unwrap();
        assert!(client.is_connected());
        for counter in 1..20 {
            let image = client.transact(write(1, counter)).await.unwrap();
            assert_eq!(image.own_counter, counter);
        }
        assert_eq!(device.connections(), 1);
    }
}

#[tokio::test]
async fn a_device_that_does_not_answer_fails_in_time_and_is_connected_to_anew() {
    for variant in VARIANTS {
        let device = Device::start([0; 4]).await;
        let mut client = device.client(Node::A, variant);
        client.transact(LOOK).await.unwrap();
        device.mood(Mood::SilentAfter(0));
        let begun = Instant::now();
        assert_eq!(client.transact(write(1, 1)).await, Err(ArbiterFault::NoAnswer));
        assert!(begun.elapsed() < 3 * TIMEOUT, "{:?}", begun.elapsed());
        assert!(!client.is_connected());
        device.mood(Mood::Serves);
        assert_eq!(client.transact(write(1, 2)).await.unwrap().own_counter, 2);
        assert_eq!(device.connections(), 2);
    }
}

#[tokio::test]
async fn a_device_that_closes_after_each_answer_is_served_all_the_same() {
    let device = Device::start([0; 4]).await;
    device.mood(Mood::Closes);
    let mut client = device.client(Node::A, ArbiterVariant::Exchange);
    for counter in 1..5 {
        assert_eq!(client.transact(write(1, counter)).await.unwrap().own_counter, counter);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_refusal_is_told_from_silence() {
    for (variant, function) in [(ArbiterVariant::Exchange, 23), (ArbiterVariant::Separate, 6)] {
        let device = Device::start([0; 4]).await;
        device.mood(Mood::LacksFunction(function));
        let mut client = device.client(Node::A, variant);
        assert_eq!(client.transact(write(1, 1)).await, Err(ArbiterFault::Refused));
        assert_eq!(client.last_fault(), Some(Fault::Exception(1)));
    }
    let device = Device::start([0; 4]).await;
    device.mood(Mood::Garbles);
    let mut client = device.client(Node::A, ArbiterVariant::Separate);
    assert_eq!(client.transact(write(1, 1)).await, Err(ArbiterFault::Refused));
    assert_eq!(client.last_fault(), Some(Fault::WrongEcho));
}

#[tokio::test]
async fn nobody_there_is_no_answer() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut client = ArbiterClient::new(config(free, Node::A, ArbiterVariant::Exchange));
    assert_eq!(client.transact(LOOK).await, Err(ArbiterFault::NoAnswer));
    assert_eq!(client.last_fault(), Some(Fault::ConnectRefused));
}

#[tokio::test]
async fn a_transaction_that_is_given_up_leaves_no_connection_behind() {
    let device = Device::start([0; 4]).await;
    let mut client = device.client(Node::A, ArbiterVariant::Exchange);
    client.transact(LOOK).await.unwrap();
    device.mood(Mood::SilentAfter(0));
    let given_up = tokio::time::timeout(Duration::from_millis(5), client.transact(write(1, 1))).await;
    assert!(given_up.is_err());
    assert!(!client.is_connected());
    device.mood(Mood::Serves);
    assert_eq!(client.transact(write(1, 2)).await.unwrap().own_counter, 2);
}

#[tokio::test]
async fn of_two_claims_at_once_exchange_has_one_that_sees_the_other_lower() {
    for epoch in 1..20 {
        let device = Device::start([0; 4]).await;
        let (mut a, mut b) = (
            device.client(Node::A, ArbiterVariant::Exchange),
            device.client(Node::B, ArbiterVariant::Exchange),
        );
        let (a, b) = tokio::join!(a.transact(write(epoch, 1)), b.transact(write(epoch, 1)));
        let wins = |image: ArbiterImage| u8::from(image.peer_slot < image.own_slot);
        assert_eq!(wins(a.unwrap()) + wins(b.unwrap()), 1);
    }
}
