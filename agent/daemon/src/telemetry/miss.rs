//! Why a deadline was missed.
//!
//! # Model
//!
//! A cycle's time since its grid point falls into two parts: the wake-up delay, until its thread ran,
//! and the cycle itself, until the last output was handed over. The longer part names the suspect. The
//! kernel's counters for the thread, sampled around the miss, tell who took the time: another task on
//! the core (time on the run queue, involuntary switches), interrupts, or nobody that this kernel knows of, which
//! leaves its host, its hardware, or whoever stopped the whole process.

use agent_cycle::CycleRecord;
use hal_units::Duration;

use super::kernel::Counts;

/// Who took the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// Woken late: another task, or real-time throttling, held the core.
    CoreBusyAtWakeUp,
    /// Interrupts had the core.
    Interrupts,
    /// Woken late though nobody had the core: the host, or the hardware, held the processor.
    WakeUpHeld,
    /// Taken off the core in the middle of a cycle.
    Preempted,
    /// Waited for memory in the middle of a cycle.
    PageFault,
    /// The host gave the core to somebody else.
    HostTookCore,
    /// Slow though it ran all the time: the controllers' own time, or the host held the processor.
    SlowCycle,
}

impl Cause {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::CoreBusyAtWakeUp => "core busy at wake-up",
            Self::Interrupts => "interrupts had the core",
            Self::WakeUpHeld => "wake-up held by the host or the hardware",
            Self::Preempted => "preempted in the cycle",
            Self::PageFault => "page fault in the cycle",
            Self::HostTookCore => "the host took the core away",
            Self::SlowCycle => "slow cycle: controllers or the host",
        }
    }
}

/// The cause of a miss of the cycle in `record`.
pub(super) fn cause(record: &CycleRecord, around: Counts) -> Cause {
    let wake_up = record.woke_at.since(record.scheduled_at);
    let run = record.finished_at.since(record.woke_at);
    let core_taken = around.run_queue * 2 >= wake_up.max(run);
    let longer = wake_up.max(run);
    if around.stolen > Duration::ZERO && around.stolen * 2 >= longer {
        Cause::HostTookCore
    } else if around.interrupts * 2 >= longer && !core_taken {
        Cause::Interrupts
    } else if wake_up >= run {
        if core_taken { Cause::CoreBusyAtWakeUp } else { Cause::WakeUpHeld }
    } else if around.faults_major > 0 {
        Cause::PageFault
    } else if core_taken || (around.switches_involuntary > 0 && around.run_queue * 4 >= run) {
        Cause::Preempted
    } else {
        Cause::SlowCycle
    }
}

/// The miss in a sentence.
pub(super) fn sentence(record: &CycleRecord, cause: Cause, skipped_after: u32) -> String {
    let us = |span: Duration| span.as_micros();
    let skips = match skipped_after {
        0 => String::new(),
        1 => "; 1 grid point passed without a cycle".to_owned(),
        more => format!("; {more} grid points passed without a cycle"),
    };
    format!(
        "cycle {}: {}: woken {} us after its grid point, ran for {} us{skips}",
        record.cycle,
        cause.as_str(),
        us(record.woke_at.since(record.scheduled_at)),
        us(record.finished_at.since(record.woke_at)),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use agent_cycle::GroupMode;
    use hal_units::Instant;

    const MS: Duration = Duration::from_millis(1);

    pub(in super::super) fn cycle_woken_after_and_run_for(wake_up: Duration, run: Duration) -> CycleRecord {
        let scheduled_at = Instant::ZERO + MS * 1000;
        CycleRecord {
            cycle: 7,
            scheduled_at,
            woke_at: scheduled_at + wake_up,
            finished_at: scheduled_at + wake_up + run,
            skipped: 0,
            late: true,
            units_blind: 0,
            units_at_rest: 0,
            input_age_max: Duration::ZERO,
            mode: GroupMode::Running,
            plan_epoch: 0,
            rules: 0,
            records_dropped: 0,
        }
    }

    #[test]
    fn time_on_the_run_queue_blames_another_task() {
        let late = cycle_woken_after_and_run_for(MS * 12, MS);
        let around = Counts { run_queue: MS * 11, ..Counts::default() };
        assert_eq!(cause(&late, around), Cause::CoreBusyAtWakeUp);
        assert_eq!(cause(&late, Counts::default()), Cause::WakeUpHeld);
    }

    #[test]
    fn a_long_run_without_another_task_is_slow() {
        let slow = cycle_woken_after_and_run_for(MS / 10, MS * 12);
        assert_eq!(cause(&slow, Counts::default()), Cause::SlowCycle);
        assert_eq!(
            cause(&slow, Counts { run_queue: MS * 8, switches_involuntary: 1, ..Counts::default() }),
            Cause::Preempted
        );
    }

    #[test]
    fn memory_that_was_waited_for_and_a_host_that_took_the_core_are_named() {
        let slow = cycle_woken_after_and_run_for(MS / 10, MS * 12);
        assert_eq!(cause(&slow, Counts { faults_major: 1, ..Counts::default() }), Cause::PageFault);
        assert_eq!(cause(&slow, Counts { stolen: MS * 10, ..Counts::default() }), Cause::HostTookCore);
    }

    #[test]
    fn interrupts_are_named_where_they_had_the_core_for_so_long() {
        let storm = Counts { interrupts: MS * 10, ..Counts::default() };
        assert_eq!(cause(&cycle_woken_after_and_run_for(MS * 12, MS), storm), Cause::Interrupts);
        assert_eq!(cause(&cycle_woken_after_and_run_for(MS / 10, MS * 12), storm), Cause::Interrupts);
        assert_eq!(cause(&cycle_woken_after_and_run_for(MS * 40, MS), storm), Cause::WakeUpHeld);
    }

    #[test]
    fn the_sentence_has_the_numbers() {
        let late = cycle_woken_after_and_run_for(MS * 12, MS);
        assert_eq!(
            sentence(&late, Cause::WakeUpHeld, 1),
            "cycle 7: wake-up held by the host or the hardware: woken 12000 us after its grid point, \
             ran for 1000 us; 1 grid point passed without a cycle"
        );
    }
}
