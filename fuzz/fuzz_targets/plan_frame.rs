//! Frames on the socket for plans: any bytes, in any pieces, are messages or an error, never more than was sent.
#![no_main]

use agent_plan::wire::{Answer, Ask, Deframer, FRAME_BYTES_MAX, frame, read_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let mut deframer = Deframer::default();
    let mut whole = Vec::new();
    'stream: for chunk in bytes.chunks(usize::from(piece).max(1)) {
        deframer.push(chunk);
        loop {
            match deframer.next_frame() {
                Ok(Some(frame)) => whole.push(frame),
                Ok(None) => break,
                Err(_) => break 'stream,
            }
        }
    }
    // A blocking reader sees the same frames.
    let mut rest = bytes;
    for frame in &whole {
        assert_eq!(read_frame(&mut rest).ok().as_ref(), Some(frame));
    }
    for frame in whole {
        assert!(frame.body.len() <= FRAME_BYTES_MAX);
        assert!(frame::encode(frame.kind, &frame.body).is_some());
        if let Ok(answer) = Answer::decode(&frame) {
            let _ = answer.encode();
        }
        if let Ok(ask) = Ask::decode(frame) {
            let (kind, body) = ask.encode();
            assert_eq!(Ask::decode(frame::Frame { kind, body }), Ok(ask));
        }
    }
});
