//! A Modbus TCP server's side of the protocol: bytes in, bytes out.
//!
//! Modbus Application Protocol V1.1b3 (function codes 3, 4, 6, 16 and 23) and Modbus Messaging on
//! TCP/IP V1.0b (the header). No socket, no allocation after the buffers have their size.

/// Bytes of the header before the PDU: transaction, protocol, length, unit.
pub const HEADER_BYTES: usize = 7;
/// The longest PDU.
pub const PDU_BYTES_MAX: usize = 253;
/// The longest frame.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + PDU_BYTES_MAX;

const READ_WORDS_MAX: u16 = 125;
const WRITE_WORDS_MAX: u16 = 123;
const EXCHANGE_WRITE_WORDS_MAX: u16 = 121;

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exception {
    /// The function code is not known.
    IllegalFunction = 1,
    /// A register does not exist, or must not be written.
    IllegalDataAddress = 2,
    /// A count or a value is not permitted.
    IllegalDataValue = 3,
}

/// What a server serves.
pub trait Registers {
    /// Whether function code 23 is known here; many devices have none.
    fn knows_exchange(&self) -> bool {
        true
    }

    /// Whether `count` words from `address` on can be read.
    fn can_read(&self, address: u16, count: u16) -> bool;

    /// The words from `address` on; `out` says how many.
    ///
    /// # Errors
    /// If one of them does not exist.
    fn read(&mut self, address: u16, out: &mut [u16]) -> Result<(), Exception>;

    /// Writes words from `address` on, all or none.
    ///
    /// # Errors
    /// If one of them must not be written, or its value is not permitted.
    fn write(&mut self, address: u16, words: &[u16]) -> Result<(), Exception>;
}

/// What lies at the front of received bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received<'a> {
    /// Not yet a whole frame.
    Partial,
    /// A frame, and how many bytes it takes.
    Frame {
        /// Transaction and unit, to be sent back.
        header: Header,
        /// The request.
        pdu: &'a [u8],
        /// Bytes of the frame.
        length: usize,
    },
    /// No Modbus: the connection is to be closed, for there is no telling where a frame would begin.
    Broken,
}

/// What of a request's header goes back with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    transaction: [u8; 2],
    unit: u8,
}

/// Looks for a frame at the front of `bytes`.
#[must_use]
pub fn receive(bytes: &[u8]) -> Received<'_> {
    let &[transaction_high, transaction_low, protocol_high, protocol_low, length_high, length_low, unit, ..] =
        bytes
    else {
        return Received::Partial;
    };
    let follows = usize::from(u16::from_be_bytes([length_high, length_low]));
    if [protocol_high, protocol_low] != [0, 0] || !(2..=PDU_BYTES_MAX + 1).contains(&follows) {
        return Received::Broken;
    }
    let length = HEADER_BYTES - 1 + follows;
    match bytes.get(HEADER_BYTES..length) {
        Some(pdu) => {
            let header = Header { transaction: [transaction_high, transaction_low], unit };
            Received::Frame { header, pdu, length }
        }
        None => Received::Partial,
    }
}

/// Serves a request; `answer` becomes the whole frame that goes back.
pub fn serve(header: Header, pdu: &[u8], registers: &mut impl Registers, answer: &mut Vec<u8>) {
    answer.clear();
    answer.extend_from_slice(&header.transaction);
    answer.extend_from_slice(&[0, 0, 0, 0, header.unit]);
    if let Err(exception) = serve_pdu(pdu, registers, answer) {
        answer.truncate(HEADER_BYTES);
        answer.extend_from_slice(&[pdu.first().copied().unwrap_or(0) | 0x80, exception as u8]);
    }
    let follows = (answer.len() - (HEADER_BYTES - 1)) as u16;
    if let Some(length) = answer.get_mut(4..6) {
        length.copy_from_slice(&follows.to_be_bytes());
    }
}

fn serve_pdu(pdu: &[u8], registers: &mut impl Registers, answer: &mut Vec<u8>) -> Result<(), Exception> {
    let (&function, body) = pdu.split_first().ok_or(Exception::IllegalFunction)?;
    let mut fields = Fields { body };
    match function {
        3 | 4 => {
            let (address, count) = (fields.word()?, fields.word()?);
            fields.end()?;
            put_words(function, address, count, registers, answer)
        }
        6 => {
            let (address, value) = (fields.word()?, fields.word()?);
            fields.end()?;
            registers.write(address, &[value])?;
            answer.extend_from_slice(pdu);
            Ok(())
        }
        16 => {
            let address = fields.word()?;
            let mut words = [0; WRITE_WORDS_MAX as usize];
            let words = fields.words(&mut words)?;
            fields.end()?;
            registers.write(address, words)?;
            answer.extend_from_slice(pdu.get(..5).unwrap_or(pdu));
            Ok(())
        }
        23 if registers.knows_exchange() => {
            let (read_address, read_count) = (fields.word()?, fields.word()?);
            let write_address = fields.word()?;
            let mut words = [0; EXCHANGE_WRITE_WORDS_MAX as usize];
            let words = fields.words(&mut words)?;
            fields.end()?;
            // The write comes first, but not if the read will then be refused.
            check_read(read_count)?;
            if !registers.can_read(read_address, read_count) {
                return Err(Exception::IllegalDataAddress);
            }
            registers.write(write_address, words)?;
            put_words(function, read_address, read_count, registers, answer)
        }
        _ => Err(Exception::IllegalFunction),
    }
}

fn check_read(count: u16) -> Result<(), Exception> {
    if (1..=READ_WORDS_MAX).contains(&count) { Ok(()) } else { Err(Exception::IllegalDataValue) }
}

fn put_words(
    function: u8,
    address: u16,
    count: u16,
    registers: &mut impl Registers,
    answer: &mut Vec<u8>,
) -> Result<(), Exception> {
    check_read(count)?;
    let mut words = [0; READ_WORDS_MAX as usize];
    let words = words.get_mut(..count.into()).unwrap_or_default();
    registers.read(address, words)?;
    answer.extend_from_slice(&[function, (2 * count) as u8]);
    answer.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    Ok(())
}

/// The rest of a request. A request that is too short or too long holds an illegal value.
struct Fields<'a> {
    body: &'a [u8],
}

impl Fields<'_> {
    fn word(&mut self) -> Result<u16, Exception> {
        let (word, rest) = self.body.split_first_chunk().ok_or(Exception::IllegalDataValue)?;
        self.body = rest;
        Ok(u16::from_be_bytes(*word))
    }

    /// A count, the bytes of so many words, and the words.
    fn words<'w>(&mut self, words: &'w mut [u16]) -> Result<&'w [u16], Exception> {
        let count = usize::from(self.word()?);
        let (&bytes, rest) = self.body.split_first().ok_or(Exception::IllegalDataValue)?;
        self.body = rest;
        if count == 0 || usize::from(bytes) != 2 * count {
            return Err(Exception::IllegalDataValue);
        }
        let words = words.get_mut(..count).ok_or(Exception::IllegalDataValue)?;
        for word in &mut *words {
            *word = self.word()?;
        }
        Ok(words)
    }

    fn end(&self) -> Result<(), Exception> {
        if self.body.is_empty() { Ok(()) } else { Err(Exception::IllegalDataValue) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ten registers from address 0 on; those from 5 on can be written, with values below 1000.
    struct Bank([u16; 10]);

    impl Registers for Bank {
        fn can_read(&self, address: u16, count: u16) -> bool {
            usize::from(address) + usize::from(count) <= 10
        }

        fn read(&mut self, address: u16, out: &mut [u16]) -> Result<(), Exception> {
            let from = usize::from(address);
            let words = self.0.get(from..from + out.len()).ok_or(Exception::IllegalDataAddress)?;
            out.copy_from_slice(words);
            Ok(())
        }

        fn write(&mut self, address: u16, words: &[u16]) -> Result<(), Exception> {
            let from = usize::from(address);
            if from < 5 || from + words.len() > 10 {
                return Err(Exception::IllegalDataAddress);
            }
            if words.iter().any(|&word| word >= 1000) {
                return Err(Exception::IllegalDataValue);
            }
            self.0[from..from + words.len()].copy_from_slice(words);
            Ok(())
        }
    }

    const HEADER: Header = Header { transaction: [0x12, 0x34], unit: 9 };

    fn bank() -> Bank {
        Bank(core::array::from_fn(|at| at as u16 + 1))
    }

    fn answer_to(pdu: &[u8], bank: &mut Bank) -> Vec<u8> {
        let mut answer = Vec::new();
        serve(HEADER, pdu, bank, &mut answer);
        let Received::Frame { header, length, .. } = receive(&answer) else {
            panic!("the answer {answer:?} is no frame");
        };
        assert_eq!((header, length), (HEADER, answer.len()));
        answer.split_off(HEADER_BYTES)
    }

    #[track_caller]
    fn check_refused(pdu: &[u8], exception: Exception) {
        let mut bank = bank();
        assert_eq!(answer_to(pdu, &mut bank), [pdu[0] | 0x80, exception as u8]);
        assert_eq!(bank.0, super::tests::bank().0, "a refused request changes nothing");
    }

    #[test]
    fn registers_are_read_as_holding_and_as_input() {
        assert_eq!(answer_to(&[3, 0, 1, 0, 2], &mut bank()), [3, 4, 0, 2, 0, 3]);
        assert_eq!(answer_to(&[4, 0, 9, 0, 1], &mut bank()), [4, 2, 0, 10]);
    }

    #[test]
    fn one_register_is_written() {
        let mut bank = bank();
        assert_eq!(answer_to(&[6, 0, 5, 0, 77], &mut bank), [6, 0, 5, 0, 77]);
        assert_eq!(bank.0[5], 77);
    }

    #[test]
    fn many_registers_are_written() {
        let mut bank = bank();
        assert_eq!(answer_to(&[16, 0, 5, 0, 2, 4, 0, 77, 0, 78], &mut bank), [16, 0, 5, 0, 2]);
        assert_eq!(bank.0[5..7], [77, 78]);
    }

    #[test]
    fn an_exchange_writes_before_it_reads() {
        let request = [23, 0, 4, 0, 2, 0, 5, 0, 1, 2, 0, 77];
        assert_eq!(answer_to(&request, &mut bank()), [23, 4, 0, 5, 0, 77]);
    }

    /// A bank that knows no exchange.
    struct Plain(Bank);

    impl Registers for Plain {
        fn knows_exchange(&self) -> bool {
            false
        }

        fn can_read(&self, address: u16, count: u16) -> bool {
            self.0.can_read(address, count)
        }

        fn read(&mut self, address: u16, out: &mut [u16]) -> Result<(), Exception> {
            self.0.read(address, out)
        }

        fn write(&mut self, address: u16, words: &[u16]) -> Result<(), Exception> {
            self.0.write(address, words)
        }
    }

    #[test]
    fn a_device_without_exchange_calls_it_an_illegal_function_and_serves_the_rest() {
        let mut plain = Plain(bank());
        let mut answer = Vec::new();
        serve(HEADER, &[23, 0, 4, 0, 2, 0, 5, 0, 1, 2, 0, 77], &mut plain, &mut answer);
        assert_eq!(answer[HEADER_BYTES..], [0x97, Exception::IllegalFunction as u8]);
        assert_eq!(plain.0.0, bank().0);
        serve(HEADER, &[6, 0, 5, 0, 77], &mut plain, &mut answer);
        assert_eq!(answer[HEADER_BYTES..], [6, 0, 5, 0, 77]);
    }

    #[test]
    fn what_cannot_be_done_is_refused_and_changes_nothing() {
        check_refused(&[1, 0, 0, 0, 1], Exception::IllegalFunction);
        check_refused(&[3, 0, 9, 0, 2], Exception::IllegalDataAddress);
        check_refused(&[3, 0, 0, 0, 0], Exception::IllegalDataValue);
        check_refused(&[3, 0, 0, 0, 126], Exception::IllegalDataValue);
        check_refused(&[3, 0, 0, 0], Exception::IllegalDataValue);
        check_refused(&[3, 0, 0, 0, 1, 0], Exception::IllegalDataValue);
        check_refused(&[6, 0, 0, 0, 1], Exception::IllegalDataAddress);
        check_refused(&[16, 0, 5, 0, 2, 2, 0, 1, 0, 1], Exception::IllegalDataValue);
        check_refused(&[16, 0, 5, 0, 0, 0], Exception::IllegalDataValue);
        check_refused(&[16, 0, 5, 0, 2, 4, 0, 1, 0xff, 1], Exception::IllegalDataValue);
        check_refused(&[23, 0, 9, 0, 2, 0, 5, 0, 1, 2, 0, 77], Exception::IllegalDataAddress);
        check_refused(&[23, 0, 0, 0, 0, 0, 5, 0, 1, 2, 0, 77], Exception::IllegalDataValue);
    }

    #[test]
    fn a_frame_is_awaited_whole_and_what_is_no_frame_is_broken() {
        let frame = [0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];
        for cut in 0..frame.len() {
            assert_eq!(receive(&frame[..cut]), Received::Partial);
        }
        assert!(matches!(receive(&frame), Received::Frame { pdu: [3, 0, 0, 0, 1], length: 12, .. }));
        assert_eq!(receive(&[0, 1, 0, 1, 0, 6, 1]), Received::Broken);
        assert_eq!(receive(&[0, 1, 0, 0, 0, 1, 1]), Received::Broken);
        assert_eq!(receive(&[0, 1, 0, 0, 1, 0, 1]), Received::Broken);
    }

    proptest! {
        #[test]
        fn any_request_gets_one_well_formed_answer(
            function in prop_oneof![Just(3_u8), Just(4), Just(6), Just(16), Just(23), any::<u8>()],
            body in proptest::collection::vec(prop_oneof![0_u8..12, any::<u8>()], 0..252),
        ) {
            let mut pdu = vec![function];
            pdu.extend(body);
            let answer = answer_to(&pdu, &mut bank());
            prop_assert!(answer.len() <= PDU_BYTES_MAX);
            prop_assert!(answer[0] == function || (answer[0] == function | 0x80 && answer.len() == 2));
        }

        #[test]
        fn any_bytes_are_received_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Received::Frame { pdu, length, .. } = receive(&bytes) {
                prop_assert!(length <= bytes.len() && pdu.len() <= PDU_BYTES_MAX && !pdu.is_empty());
            }
        }
    }
}
