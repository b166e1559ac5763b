//! Faults by name, and how the site suffers them.

use failover_protocol::{Input, Node};
use hal_units::Duration;

use super::site::{Event, MS, Site};

/// Something that goes wrong, or that an operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process dies, its supervisor resigns for it; it is started again after the time, if any.
    Kill(Node, Option<Duration>),
    /// The host dies; it is started again after the time, if any.
    Power(Node, Option<Duration>),
    /// The process stands still for a time.
    Stop(Node, Duration),
    /// The control thread alone stands still for a time.
    Hang(Node, Duration),
    /// One link (0 or 1) is cut both ways.
    Link(usize, Duration),
    /// Both links are cut.
    Links(Duration),
    /// The node hears nothing of its peer, which hears it.
    Deaf(Node, Duration),
    /// Each datagram is lost with this chance in 256.
    Loss(u8, Duration),
    /// Datagrams are late by up to the first time, and so out of order.
    Delay(Duration, Duration),
    /// Datagrams come twice.
    Double(Duration),
    /// The arbiter answers nobody.
    Arbiter(Duration),
    /// The arbiter is slow by up to the first time.
    SlowArbiter(Duration, Duration),
    /// The node reaches no device.
    Field(Node, Duration),
    /// The clock's rate changes, in parts per thousand.
    Drift(Node, i64),
    /// An operator wants a switchover.
    Switchover(Node),
    /// The node is asked to resign.
    Resign(Node),
}

/// How long a driver takes to see that a device is gone or back.
const FIELD_SEEN_AFTER: u64 = 8 * MS;

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX / 4)
}

impl Site {
    /// Lets a fault happen now.
    pub fn inject(&mut self, fault: Fault) {
        self.tally.faults += 1;
        let now = self.now;
        match fault {
            Fault::Kill(node, back) | Fault::Power(node, back) => {
                if self.host(node).pair.is_some() {
                    if matches!(fault, Fault::Kill(..)) {
                        self.killed(node);
                    } else {
                        self.down(node);
                    }
                }
                if let Some(back) = back {
                    self.after(nanos(back), Event::Start(node));
                }
            }
            Fault::Stop(node, span) => self.host_mut(node).paused_until = now + nanos(span),
            Fault::Hang(node, span) => self.host_mut(node).hung_until = now + nanos(span),
            Fault::Link(link, span) => self.cut(link, [true, true], span),
            Fault::Links(span) => {
                self.cut(0, [true, true], span);
                self.cut(1, [true, true], span);
            }
            Fault::Deaf(node, span) => {
                let directions = [node == Node::A, node == Node::B];
                self.cut(0, directions, span);
                self.cut(1, directions, span);
            }
            Fault::Loss(chance, span) => self.weather.loss = (chance, now + nanos(span)),
            Fault::Delay(by, span) => self.weather.delay = (nanos(by), now + nanos(span)),
            Fault::Double(span) => self.weather.double_until = now + nanos(span),
            Fault::Arbiter(span) => self.weather.arbiter_lost_until = now + nanos(span),
            Fault::SlowArbiter(by, span) => self.weather.arbiter_slow = (nanos(by), now + nanos(span)),
            Fault::Field(node, span) => {
                self.host_mut(node).field_cut_until = now + nanos(span);
                self.after(FIELD_SEEN_AFTER, Event::SeeField(node));
                self.after(nanos(span) + FIELD_SEEN_AFTER, Event::SeeField(node));
            }
            Fault::Drift(node, permille) => self.host_mut(node).set_drift(now, permille),
            Fault::Switchover(node) => self.step(node, Input::Switchover),
            Fault::Resign(node) => self.step(node, Input::ResignRequested),
        }
    }

    fn cut(&mut self, link: usize, directions: [bool; 2], span: Duration) {
        let until = self.now + nanos(span);
        if let Some(cut) = self.weather.cut_until.get_mut(link) {
            for (to, hit) in cut.iter_mut().zip(directions) {
                if hit {
                    *to = until;
                }
            }
        }
    }

    /// Ends every fault, and starts what is down.
    pub fn heal(&mut self) {
        self.weather = super::site::Weather::default();
        for node in crate::world::NODES {
            let host = self.host_mut(node);
            host.field_cut_until = 0;
            self.after(0, Event::SeeField(node));
            self.start(node);
        }
    }
}
