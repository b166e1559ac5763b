//! The guarded Modbus master: whatever comes back, a value is accepted only out of the one whole frame that
//! answers the request. The frame is built here a second time, from the standard: Modbus Application Protocol
//! V1.1b3, Messaging on TCP/IP V1.0b, Serial Line V1.02.
#![no_main]

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use hal_field_bus::{RegisterTable, SerialTiming};
use hal_modbus::{Connection, ConnectionTiming, Query};
use hal_units::Duration;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

const UNIT: u8 = 1;
const QUERIES: [Query<'static>; 4] = [
    Query::Read { table: RegisterTable::Holding, start: 0, count: 3 },
    Query::Write { start: 100, words: &[1, 2] },
    Query::Exchange { read_start: 0, read_count: 2, write_start: 100, words: &[7] },
    Query::WriteSingle { address: 100, word: 7 },
];

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (choice, pieces, answer) = input;
    let query = QUERIES[usize::from(choice) % QUERIES.len()];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads starts");
    for serial in [false, true] {
        let peer = Peer::new(answer, usize::from(pieces) + 1);
        let sent = Arc::clone(&peer.sent);
        let timing = ConnectionTiming {
            serial: serial.then(|| SerialTiming::new(115_200)),
            frame_gap: Duration::from_millis(20),
            timeouts_max: 1,
        };
        let (limit, quiet) = (Duration::from_millis(100), Duration::from_millis(10));
        let result = runtime.block_on(async {
            let mut connection = Connection::new(peer, timing);
            let call = connection.call(UNIT, &query, limit, quiet);
            timeout(std::time::Duration::from_secs(60), call).await.expect("a call ends in bounded time")
        });
        if let Ok(words) = result {
            let sent = sent.lock().expect("nobody panicked").clone();
            let frame = if serial { serial_frame(&query, &words) } else { tcp_frame(&query, &words, &sent) };
            assert!(answer.starts_with(&frame), "{words:?} was accepted out of {answer:02x?}");
        }
    }
});

/// The PDU that answers a query with these words.
fn pdu(query: &Query<'_>, words: &[u16]) -> Vec<u8> {
    let registers = |function: u8, count: u16| {
        assert_eq!(words.len(), usize::from(count));
        let mut pdu = vec![function, 2 * count as u8];
        pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        pdu
    };
    match *query {
        Query::Read { count, .. } => registers(3, count),
        Query::Exchange { read_count, .. } => registers(23, read_count),
        Query::WriteSingle { address, word } => {
            assert!(words.is_empty());
            [&[6][..], &address.to_be_bytes(), &word.to_be_bytes()].concat()
        }
        Query::Write { start, words: written } => {
            assert!(words.is_empty());
            let quantity = written.len() as u16;
            [&[16][..], &start.to_be_bytes(), &quantity.to_be_bytes()].concat()
        }
    }
}

/// With the transaction's number from the request that was sent.
fn tcp_frame(query: &Query<'_>, words: &[u16], sent: &[u8]) -> Vec<u8> {
    let pdu = pdu(query, words);
    let length = (pdu.len() as u16 + 1).to_be_bytes();
    [&sent[..2], &[0, 0], &length, &[UNIT], &pdu].concat()
}

/// With the check sum: CRC-16, polynomial 0xA001 reflected, low byte first.
fn serial_frame(query: &Query<'_>, words: &[u16]) -> Vec<u8> {
    let mut frame = [&[UNIT][..], &pdu(query, words)].concat();
    let mut sum = 0xffff_u16;
    for byte in &frame {
        sum ^= u16::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xa001 } else { sum >> 1 };
        }
    }
    frame.extend(sum.to_le_bytes());
    frame
}

/// The other end of the line: takes a request, then says its piece and falls silent.
#[derive(Debug)]
struct Peer {
    sent: Arc<Mutex<Vec<u8>>>,
    answer: Vec<u8>,
    said: usize,
    piece: usize,
}

impl Peer {
    fn new(answer: &[u8], piece: usize) -> Self {
        Self { sent: Arc::default(), answer: answer.to_owned(), said: 0, piece }
    }
}

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let asked = !self.sent.lock().expect("nobody panicked").is_empty();
        let left = &self.answer[self.said..];
        if !asked || left.is_empty() {
            // Nothing more will come: only time wakes the reader.
            return Poll::Pending;
        }
        let count = left.len().min(self.piece).min(out.remaining());
        out.put_slice(&left[..count]);
        self.said += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.sent.lock().expect("nobody panicked").extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
