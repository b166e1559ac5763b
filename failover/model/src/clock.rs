//! Coarse time.
//!
//! # Model
//!
//! True time goes in ticks of [`TICK`] units. In a tick each node's clock goes on by a number of units of its
//! own: a slow one by [`SLOW`], a fast one by [`FAST`]. These are the extremes that the configuration's drift
//! of 20 % allows: one unit of the slow clock lasts 12 / 10 = 1.2 of true time, one of the fast 12 / 15 = 0.8.
//!
//! Every node's clock reads [`NOW`] in every state; what is stored are ages.

use failover_protocol::PairConfig;
use hal_units::{Duration, Instant};

/// Units of true time in a tick.
pub const TICK: u8 = 12;
/// What the slowest clock shows of it.
pub const SLOW: u8 = 10;
/// What the fastest clock shows of it.
pub const FAST: u8 = 15;
/// How many ticks a write that passed the gate may still travel.
pub const TRAVEL_TICKS: u8 = 1;

/// What every node's clock reads in a stored state.
pub const NOW: Instant = Instant::from_nanos(100_000);

/// Ages of messages beyond this are all alike: a lease that rests on them has ended.
pub const HORIZON: Duration = Duration::from_nanos(20);

/// The protocol's times in units. A takeover comes at the very first moment that the proof allows:
/// `(20 * 1.2 + 12) / 0.8 = 45`.
#[must_use]
pub fn config() -> PairConfig {
    let units = Duration::from_nanos;
    PairConfig {
        cycle: units(1),
        heartbeat: units(8),
        claim_after: units(30),
        probe_after: units(20),
        // Whatever an answer takes it counts: a claim comes rather sooner than it would.
        probe_prompt: Duration::from_secs(1),
        lease: units(20),
        renew_after: units(9),
        guard: units(12),
        resign_guard: units(15),
        takeover_after: units(45),
        drift_percent: 20,
        quantum: Duration::ZERO,
        cycle_stall_max: Duration::from_secs(1),
        cycle_stall_resign: Duration::from_secs(1),
        arbiter_poll: Duration::from_secs(1),
        arbiter_retry: units(1),
        claim_stagger: units(1),
        field_hold: units(6),
        field_part_hold: units(40),
        flap_max: 4,
        flap_window: units(90),
        handover_max: units(60),
        schema: 0,
    }
}

/// How long ago `at` was, up to the horizon.
#[must_use]
pub fn age_of(at: Instant) -> u8 {
    u8::try_from(NOW.since(at).min(HORIZON).as_nanos()).unwrap_or(u8::MAX)
}
