//! What was true, and whether the master believed anything else.
//!
//! # How a value certifies itself
//!
//! Every honest answer carries a stamp that no other answer carries, in each block, and check words that
//! follow from stamp and address. The peer keeps, for each stamp, when the request came. A forged answer
//! carries a stamp from a range of its own, with check words that fit. So of each published scan it can
//! be told whether
//!
//! - each block is one honest answer (stamp known, check words right),
//! - to a request of this very scan: it came no earlier than the scan's acquisition time,
//! - and, of each acknowledged write, whether the peer had applied it.

use std::collections::BTreeMap;
use std::sync::Arc;

use hal_diagnostics::Document;
use hal_field_bus::DeviceProfile;
use hal_modbus::Fault;
use hal_process_image::{DeviceInputs, DeviceOutputs, Quality, TagIndex};
use hal_units::Instant;

use super::mix;

/// Stamps from here on are forged.
pub const FORGED: u32 = 0x4000_0000;
pub const HOLDING_START: u16 = 0;
pub const INPUT_START: u16 = 100;
pub const WRITE_START: u16 = 200;

/// What the device under test is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Two read blocks in two tables, one write block.
    Split,
    /// One read block and one write block, exchanged in one request.
    Combined,
    /// One read block: every request looks like the one before.
    ReadOnly,
}

pub const KINDS: [Kind; 3] = [Kind::Split, Kind::Combined, Kind::ReadOnly];

/// The profile of a device that certifies its values.
pub fn profile(kind: Kind, response_timeout_ms: u64) -> Arc<DeviceProfile> {
    let exchange = if kind == Kind::Combined { "combined" } else { "split" };
    let input_block = if kind != Kind::Split {
        String::new()
    } else {
        format!(
            "[[input]]\ntag = \"input_stamp\"\ntable = \"input\"\nregister = {INPUT_START}\ntype = \"u32\"\nmax_age_ms = 1000\n\
             [[input]]\ntag = \"input_check\"\ntable = \"input\"\nregister = {}\ntype = \"u16\"\nmax_age_ms = 1000\n",
            INPUT_START + 2
        )
    };
    let outputs = format!(
        "[[output]]\ntag = \"sequence\"\nregister = {WRITE_START}\ntype = \"u32\"\nmin = 0.0\nmax = 4294967295.0\nsafe = \"hold\"\n\
         [[output]]\ntag = \"power\"\nregister = {}\ntype = \"u16\"\nmin = 0.0\nmax = 60000.0\nsafe = \"zero\"\n",
        WRITE_START + 2
    );
    let text = format!(
        "name = \"witness\"\nresponse_timeout_ms = {response_timeout_ms}\nexchange = \"{exchange}\"\n\
         [[input]]\ntag = \"stamp\"\nregister = {HOLDING_START}\ntype = \"u32\"\nmax_age_ms = 1000\n\
         [[input]]\ntag = \"check_high\"\nregister = {}\ntype = \"u16\"\nmax_age_ms = 1000\n\
         [[input]]\ntag = \"check_low\"\nregister = {}\ntype = \"u16\"\nmax_age_ms = 1000\n\
         {input_block}{}",
        HOLDING_START + 2,
        HOLDING_START + 4,
        if kind == Kind::ReadOnly { "" } else { &outputs },
    );
    Arc::new(DeviceProfile::parse(&Document::new("witness.toml", &text)).unwrap())
}

/// The word at an address in an answer with a stamp.
pub fn word(stamp: u32, function: u8, address: u16) -> u16 {
    let home = if function == 4 { INPUT_START } else { HOLDING_START };
    match address.wrapping_sub(home) {
        0 => (stamp >> 16) as u16,
        1 => stamp as u16,
        _ => check_word(stamp, address),
    }
}

fn check_word(stamp: u32, address: u16) -> u16 {
    mix(u64::from(stamp) << 16 | u64::from(address)) as u16
}

/// The truth about one device.
#[derive(Debug)]
pub struct Truth {
    /// When the request came that each stamp answers; the stamp is the position.
    received_at: Vec<Instant>,
    /// Whether each sequence of outputs was applied.
    applied: Vec<bool>,
    expires_at: Vec<Instant>,
    pub requests: u64,
    pub probes_and_reads: u64,
    pub commanded_writes: u64,
    pub safe_writes: u64,
    /// Faults put in, by the name under which the master must count them.
    pub expected: BTreeMap<&'static str, u64>,
    /// Faults put in, by what the peer did.
    pub injected: BTreeMap<&'static str, u64>,
    /// Late answers that reached the line.
    pub late_sent: u64,
    /// What the master believed although it was not so. Must stay empty.
    pub wrong: Vec<String>,
    /// Of wrong values and acknowledgements, how many.
    pub wrong_count: u64,
    pub scans_checked: u64,
    /// Scans that were published and overwritten between two looks.
    pub unseen_scans: u64,
    last_sequence: u32,
    last_stamps: [u32; 2],
    last_acknowledged: u32,
    /// The next write must be the safe one.
    pub armed: bool,
    /// How late commanded outputs may come after their expiry: the time on the way.
    pub expiry_grace: hal_units::Duration,
}

impl Truth {
    pub fn new(expiry_grace: hal_units::Duration) -> Self {
        Self {
            received_at: vec![Instant::ZERO],
            applied: vec![true],
            expires_at: vec![Instant::ZERO],
            requests: 0,
            probes_and_reads: 0,
            commanded_writes: 0,
            safe_writes: 0,
            expected: BTreeMap::new(),
            injected: BTreeMap::new(),
            late_sent: 0,
            wrong: Vec::new(),
            wrong_count: 0,
            scans_checked: 0,
            unseen_scans: 0,
            last_sequence: 0,
            last_stamps: [0; 2],
            last_acknowledged: 0,
            armed: false,
            expiry_grace,
        }
    }

    pub fn complain(&mut self, what: String) {
        self.wrong_count += 1;
        if self.wrong.len() < 20 {
            self.wrong.push(what);
        }
    }

    pub fn expect(&mut self, injected: &'static str, fault: Fault) {
        *self.injected.entry(injected).or_default() += 1;
        *self.expected.entry(fault.as_str()).or_default() += 1;
    }

    /// A new stamp for the honest answer to a request that came at `now`.
    pub fn stamp(&mut self, now: Instant) -> u32 {
        self.received_at.push(now);
        (self.received_at.len() - 1) as u32
    }

    /// The newest stamp, as a forgery.
    pub fn forged_stamp(&self) -> u32 {
        FORGED | (self.received_at.len() as u32 - 1)
    }

    /// Outputs that the cycle hands out.
    pub fn hand_out(&mut self, outputs: &DeviceOutputs) {
        assert_eq!(outputs.sequence as usize, self.applied.len());
        self.applied.push(false);
        self.expires_at.push(outputs.expires_at);
    }

    /// The device takes a write.
    pub fn apply(&mut self, words: &[u16], now: Instant) {
        assert_eq!(words.len(), 3, "a write of the whole block");
        let sequence = u32::from(words[0]) << 16 | u32::from(words[1]);
        let commanded = words[2] != 0;
        if !commanded {
            self.safe_writes += 1;
            self.armed = true;
            return;
        }
        self.commanded_writes += 1;
        if !self.armed {
            self.complain(format!("{now}: outputs {sequence} came before the safe value"));
        }
        match self.expires_at.get(sequence as usize) {
            Some(expires_at) if now <= *expires_at + self.expiry_grace => {}
            expiry => self.complain(format!("{now}: outputs {sequence} came late: {expiry:?}")),
        }
        if let Some(applied) = self.applied.get_mut(sequence as usize) {
            *applied = true;
        }
    }

    /// Looks at the newest published scan.
    pub fn judge(&mut self, image: &DeviceInputs, profile: &DeviceProfile) {
        if image.sequence == self.last_sequence {
            return;
        }
        self.scans_checked += 1;
        if image.sequence != self.last_sequence + 1 {
            // Not the master's fault: the judge did not look often enough.
            self.unseen_scans += u64::from(image.sequence.wrapping_sub(self.last_sequence + 1));
        }
        self.last_sequence = image.sequence;
        let mut values = [0.0; 5];
        for (at, value) in values.iter_mut().enumerate().take(profile.inputs.len()) {
            let sample = image.sample(TagIndex(at as u16));
            *value = sample.value;
            if sample.quality != Quality::Good {
                self.complain(format!("scan {}: input {at} is {:?}", image.sequence, sample.quality));
            }
        }
        let [stamp, high, low, input_stamp, input_check] = values;
        self.judge_block(0, image, stamp, &[(HOLDING_START + 2, high), (HOLDING_START + 4, low)]);
        if profile.inputs.len() > 3 {
            self.judge_block(1, image, input_stamp, &[(INPUT_START + 2, input_check)]);
        }
        let acknowledged = image.outputs_acknowledged;
        if self.applied.get(acknowledged as usize) != Some(&true) {
            self.complain(format!("outputs {acknowledged} were acknowledged but never applied"));
        }
        if acknowledged < self.last_acknowledged {
            self.complain(format!("acknowledged {acknowledged} after {}", self.last_acknowledged));
        }
        self.last_acknowledged = acknowledged;
    }

    fn judge_block(&mut self, block: usize, image: &DeviceInputs, stamp: f64, checks: &[(u16, f64)]) {
        let stamp = stamp as u32;
        let scan = image.sequence;
        let Some(received_at) = self.received_at.get(stamp as usize).copied() else {
            return self.complain(format!("scan {scan} block {block}: stamp {stamp:#x} is forged"));
        };
        if received_at < image.acquired_at {
            self.complain(format!(
                "scan {scan} block {block}: stamp {stamp} answers a request of {received_at}, but the \
                 scan began at {}",
                image.acquired_at
            ));
        }
        if stamp <= self.last_stamps[block] {
            self.complain(format!("scan {scan} block {block}: stamp {stamp} came twice"));
        }
        self.last_stamps[block] = stamp;
        for (address, value) in checks {
            if *value != f64::from(check_word(stamp, *address)) {
                self.complain(format!("scan {scan}: register {address} does not belong to stamp {stamp}"));
            }
        }
    }
}
