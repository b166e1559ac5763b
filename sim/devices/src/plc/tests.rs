//! One PLC, its master and its time.

use super::*;
use hal_units::MetersPerSecond;
use sim_plants::{NoiseLevels, RotorSurface, TurbinePlantParameters};

/// A PLC at full load with a master that writes whole command blocks.
struct Site {
    plc: TurbinePlc,
    now: Instant,
    watchdog: u16,
}

impl Site {
    fn new() -> Self {
        let wind = MetersPerSecond(14.0);
        let turbine = Turbine::new(TurbinePlantParameters::NREL_5MW, RotorSurface::nrel_5mw());
        let config = PlcConfig { noise: NoiseLevels::NONE, ..PlcConfig::default() };
        let plc = TurbinePlc::new(turbine.in_operation(wind), Wind::constant(wind), config);
        Self { plc, now: Instant::ZERO, watchdog: 0 }
    }

    fn pass(&mut self, span: Duration) -> &mut Self {
        let until = self.now + span;
        while self.now < until {
            self.now = self.now + SCAN;
            self.plc.advance_to(self.now);
        }
        self
    }

    fn write(&mut self, commands: &CommandWords) -> Result<(), Exception> {
        self.plc.at(self.now).write(COMMANDS_START, commands)
    }

    /// The command block as it stands, with the watchdog changed.
    fn feed(&mut self) -> Result<(), Exception> {
        self.watchdog += 1;
        let mut commands = *self.plc.commands();
        registers::WATCHDOG.set_u16(&mut commands, self.watchdog);
        self.write(&commands)
    }

    fn write_changed(&mut self, change: impl FnOnce(&mut CommandWords)) -> Result<(), Exception> {
        let mut commands = *self.plc.commands();
        change(&mut commands);
        self.write(&commands)
    }

    fn rpm(&mut self) -> f64 {
        self.plc.turbine_mut().measurements().rotor_speed.as_rpm()
    }
}

#[test]
fn before_a_master_comes_the_turbine_stays_as_it_is() {
    let mut site = Site::new();
    site.pass(Duration::from_secs(5));
    assert_eq!(site.plc.state(), PlcState::Normal);
    assert!((site.plc.truth().power_mean().as_kilowatts() - 5000.0).abs() < 5.0);
}

#[test]
fn a_starving_watchdog_leads_to_hold_and_then_to_safe() {
    let mut site = Site::new();
    site.feed().unwrap();
    let mut states = Vec::new();
    for _ in 0..14 {
        site.pass(Duration::from_millis(100));
        states.push(site.plc.state().code());
    }
    assert_eq!(states, [0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
    let truth = site.plc.truth();
    assert_eq!((truth.watchdog_holds, truth.watchdog_starvations), (1, 1));
}

#[test]
fn a_write_that_leaves_the_watchdog_alone_does_not_feed_it() {
    let mut site = Site::new();
    site.feed().unwrap();
    for _ in 0..3 {
        site.pass(Duration::from_millis(100));
        site.write_changed(|_| ()).unwrap();
    }
    assert_eq!(site.plc.state(), PlcState::Hold);
}

#[test]
fn in_the_safe_state_the_rotor_stops_and_only_then_the_brake_falls() {
    let mut site = Site::new();
    site.feed().unwrap();
    site.pass(Duration::from_secs(3));
    assert_eq!(site.plc.state(), PlcState::Safe { braking: false });
    assert_eq!(registers::GENERATOR_TORQUE.f32(site.plc.measured()), 0.0);
    assert!(site.rpm() > 5.0, "the brake does not stop a fast rotor");
    site.pass(Duration::from_secs(120));
    assert_eq!(site.plc.state(), PlcState::Safe { braking: true });
    assert!(site.rpm().abs() < 0.01, "{}", site.rpm());
    assert_eq!(registers::FAULT_WORD.u16(site.plc.measured()), fault::WATCHDOG);
    assert_eq!(registers::BRAKE_APPLIED.u16(site.plc.measured()), 1);
}

#[test]
fn a_master_that_comes_back_does_not_bring_back_old_commands() {
    let mut site = Site::new();
    site.feed().unwrap();
    site.pass(Duration::from_secs(3));
    let fed = site.plc.at(site.now).write(registers::WATCHDOG.address, &[77]);
    assert_eq!(fed, Ok(()));
    site.pass(Duration::from_millis(50));
    assert_eq!(site.plc.state(), PlcState::Normal);
    assert_eq!(registers::GENERATOR_TORQUE_CMD.f32(site.plc.commands()), 0.0);
    assert!(registers::PITCH_CMD.f32(site.plc.commands()) > 1.57);
}

#[test]
fn a_lower_epoch_is_refused_whole_and_feeds_nothing() {
    let mut site = Site::new();
    site.write_changed(|words| {
        registers::EPOCH_CMD.set_u32(words, 70_000);
        registers::WATCHDOG.set_u16(words, 1);
    })
    .unwrap();
    site.pass(Duration::from_millis(500));
    let refused = site.write_changed(|words| {
        registers::EPOCH_CMD.set_u32(words, 69_999);
        registers::WATCHDOG.set_u16(words, 2);
        registers::PITCH_CMD.set_f32(words, 1.0);
    });
    assert_eq!(refused, Err(Exception::IllegalDataValue));
    site.pass(Duration::from_millis(5));
    assert_eq!(registers::WATCHDOG_ECHO.u16(site.plc.measured()), 1);
    assert_eq!(registers::EPOCH.u32(site.plc.measured()), 70_000);
    assert_eq!(site.plc.state(), PlcState::Hold);
    assert_eq!(site.plc.truth().writes_refused_by_epoch, 1);
    assert!(site.write_changed(|words| registers::EPOCH_CMD.set_u32(words, 70_000)).is_ok());
}

#[test]
fn what_no_command_can_be_is_refused() {
    let mut site = Site::new();
    let refused = [
        site.write_changed(|w| registers::PITCH_CMD.set_f32(w, f64::NAN)),
        site.write_changed(|w| registers::PITCH_CMD.set_f32(w, 2.0)),
        site.write_changed(|w| registers::GENERATOR_TORQUE_CMD.set_f32(w, -1.0)),
        site.write_changed(|w| registers::GENERATOR_TORQUE_CMD.set_f32(w, 60e3)),
        site.write_changed(|w| registers::YAW_RATE_CMD.set_f32(w, 0.1)),
        site.write_changed(|w| registers::BRAKE_CMD.set_u16(w, 2)),
        site.write_changed(|w| registers::GENERATOR_CONNECT.set_u16(w, 2)),
    ];
    assert!(refused.iter().all(|answer| *answer == Err(Exception::IllegalDataValue)), "{refused:?}");
    let nowhere = [0_u16, 40, 99, 118].map(|address| site.plc.at(site.now).write(address, &[0]));
    assert!(nowhere.iter().all(|answer| *answer == Err(Exception::IllegalDataAddress)), "{nowhere:?}");
    assert_eq!(site.plc.truth().writes_refused_by_content, 11);
    assert_eq!(site.plc.truth().writes_applied, 0);
}

#[test]
fn the_two_tables_can_be_read_and_nothing_else() {
    let mut site = Site::new();
    let mut read =
        |address: u16, count: usize| site.plc.at(site.now).read(address, &mut vec![0; count]).is_ok();
    assert!(read(0, 40) && read(39, 1) && read(100, 18) && read(117, 1));
    assert!(!read(0, 41) && !read(40, 1) && !read(99, 2) && !read(117, 2) && !read(65535, 2));
}

#[test]
fn each_blade_follows_its_own_command_once_the_master_says_so() {
    let mut site = Site::new();
    let lead = |individual: u16| {
        move |words: &mut CommandWords| {
            registers::PITCH_INDIVIDUAL.set_u16(words, individual);
            registers::PITCH_CMD.set_f32(words, 0.2);
            registers::PITCH_1_CMD.set_f32(words, 0.1);
            registers::PITCH_2_CMD.set_f32(words, 0.3);
            registers::PITCH_3_CMD.set_f32(words, 0.2);
        }
    };
    for (individual, expected) in [(0, [0.2, 0.2, 0.2]), (1, [0.1, 0.3, 0.2])] {
        assert_eq!(site.write_changed(lead(individual)), Ok(()));
        site.pass(Duration::from_secs(5));
        let pitch = site.plc.turbine_mut().measurements().pitch;
        for (blade, expected) in pitch.into_iter().zip(expected) {
            assert!((blade.get() - expected).abs() < 1e-3, "{pitch:?}");
        }
    }
}

#[test]
fn a_command_moves_the_plant() {
    let mut site = Site::new();
    site.write_changed(|words| registers::PITCH_CMD.set_f32(words, 0.5)).unwrap();
    site.pass(Duration::from_secs(5));
    assert!((registers::PITCH_2.f32(site.plc.measured()) - 0.5).abs() < 1e-3);
}

#[test]
fn a_lost_grid_and_blades_apart_show_in_the_fault_word() {
    let mut site = Site::new();
    site.plc.turbine_mut().set_grid_present(false);
    site.plc.turbine_mut().set_pitch_drive_jammed(0, true);
    site.write_changed(|words| registers::PITCH_CMD.set_f32(words, 1.0)).unwrap();
    site.pass(Duration::from_secs(2));
    assert_eq!(registers::FAULT_WORD.u16(site.plc.measured()), fault::GRID | fault::BLADES_APART);
    assert_eq!(registers::GRID_OK.u16(site.plc.measured()), 0);
}

#[test]
fn a_plc_that_did_not_get_to_run_makes_up_and_does_not_blame_the_master() {
    let mut site = Site::new();
    site.feed().unwrap();
    site.now = site.now + Duration::from_millis(600);
    site.plc.advance_to(site.now);
    site.feed().unwrap();
    for _ in 0..10 {
        site.plc.advance_to(site.now);
    }
    assert_eq!((site.plc.truth().scans, site.plc.truth().watchdog_holds), (120, 0));
    site.now = site.now + Duration::from_secs(30);
    site.plc.advance_to(site.now);
    assert_eq!(site.plc.state(), PlcState::Normal);
    assert_eq!(site.plc.truth().scans_skipped, 5999);
}

/// Registers 108 and 109 with an epoch.
fn epoch_words(epoch: u32) -> [u16; 2] {
    [(epoch >> 16) as u16, epoch as u16]
}

const EPOCH_AT: u16 = registers::EPOCH_CMD.address;

#[test]
fn the_epoch_registers_alone_raise_the_fence_and_move_nothing() {
    let mut site = Site::new();
    site.feed().unwrap();
    let before = *site.plc.commands();
    site.pass(Duration::from_millis(500));
    assert_eq!(site.plc.at(site.now).write(EPOCH_AT, &epoch_words(70_000)), Ok(()));
    assert_eq!(site.plc.take_write().unwrap().verdict, Verdict::Fenced);
    site.pass(SCAN);
    assert_eq!(site.plc.epoch(), 70_000);
    assert_eq!(site.plc.state(), PlcState::Hold, "a fence feeds no watchdog");
    assert_eq!(site.plc.commands()[..8], before[..8]);
    let old = site.write_changed(|words| registers::EPOCH_CMD.set_u32(words, 69_999));
    assert_eq!(old, Err(Exception::IllegalDataValue));
    assert_eq!(site.plc.at(site.now).write(EPOCH_AT, &epoch_words(69_999)), Err(Exception::IllegalDataValue));
}

#[test]
fn who_names_no_epoch_may_write_only_until_one_was_seen() {
    let mut site = Site::new();
    let pitch = registers::PITCH_CMD.address;
    assert_eq!(site.plc.at(site.now).write(pitch, &[0x3f00, 0]), Ok(()));
    assert_eq!(site.plc.at(site.now).write(EPOCH_AT, &epoch_words(1)), Ok(()));
    for (address, words) in [(pitch, &[0x3e80, 0][..]), (registers::WATCHDOG.address, &[7])] {
        assert_eq!(site.plc.at(site.now).write(address, words), Err(Exception::IllegalDataValue));
        assert_eq!(site.plc.take_write().unwrap().verdict, Verdict::NoEpoch);
    }
    assert_eq!(registers::PITCH_CMD.f32(site.plc.commands()), 0.5);
    assert_eq!(site.plc.truth().writes_refused_by_epoch, 2);
}

#[test]
fn half_an_epoch_is_refused_for_it_is_another_number() {
    let mut site = Site::new();
    for (address, words) in [(EPOCH_AT, &[1][..]), (EPOCH_AT + 1, &[1]), (EPOCH_AT + 1, &[1, 2])] {
        assert_eq!(site.plc.at(site.now).write(address, words), Err(Exception::IllegalDataValue));
    }
    assert_eq!(site.plc.epoch(), 0);
}

#[test]
fn every_write_of_commands_leaves_its_record() {
    let mut site = Site::new();
    site.pass(Duration::from_millis(20));
    site.write_changed(|words| {
        registers::EPOCH_CMD.set_u32(words, 3);
        registers::WATCHDOG.set_u16(words, 4);
        registers::PITCH_CMD.set_f32(words, 0.25);
    })
    .unwrap();
    let record = site.plc.take_write().unwrap();
    assert_eq!((record.at, record.epoch, record.watchdog), (site.now, Some(3), 4));
    assert_eq!((record.verdict, record.pitch_rad), (Verdict::Applied, 0.25));
    let _ = site.write_changed(|words| registers::EPOCH_CMD.set_u32(words, 2));
    let record = site.plc.take_write().unwrap();
    assert_eq!((record.epoch, record.verdict), (Some(2), Verdict::LowerEpoch));
    let _ = site.write_changed(|words| registers::PITCH_CMD.set_f32(words, 9.0));
    assert_eq!(site.plc.take_write().unwrap().verdict, Verdict::IllegalValue);
    assert_eq!(site.plc.take_write(), None, "each is handed out once");
    let _ = site.plc.at(site.now).write(0, &[1]);
    assert_eq!(site.plc.take_write(), None, "measurements are no commands");
}

fn arbiter_site() -> Site {
    let mut site = Site::new();
    let config = PlcConfig { arbiter: true, ..site.plc.config };
    site.plc = TurbinePlc::new(site.plc.turbine.clone(), site.plc.wind.clone(), config);
    site
}

#[test]
fn an_arbiter_is_written_pair_by_pair_and_read_as_one() {
    let mut site = arbiter_site();
    let mut plc = site.plc.at(site.now);
    assert_eq!(plc.write(200, &[5, 1]), Ok(()));
    assert_eq!(plc.write(203, &[9]), Ok(()));
    assert_eq!(plc.write(201, &[2]), Ok(()));
    let mut words = [0; 4];
    assert_eq!(plc.read(200, &mut words), Ok(()));
    assert_eq!(words, [5, 2, 0, 9]);
    assert_eq!(site.plc.truth().arbiter_writes, 3);
    assert_eq!(site.plc.take_write(), None, "a claim is no command");
    assert_eq!(site.plc.epoch(), 0, "and fences nothing by itself");
}

#[test]
fn a_write_across_both_nodes_pairs_or_beyond_them_is_refused_whole() {
    let mut site = arbiter_site();
    for (address, words) in [(200, &[1, 1, 1][..]), (201, &[1, 1]), (203, &[1, 1]), (200, &[1; 4])] {
        assert_eq!(site.plc.at(site.now).write(address, words), Err(Exception::IllegalDataAddress));
    }
    assert_eq!(site.plc.arbiter().unwrap().registers(), [0; 4]);
    assert!(site.plc.at(site.now).write(199, &[1]).is_err());
    assert!(site.plc.at(site.now).write(204, &[1]).is_err());
}

#[test]
fn a_device_that_carries_no_arbiter_has_no_such_registers() {
    let mut site = Site::new();
    assert!(site.plc.at(site.now).read(200, &mut [0; 4]).is_err());
    assert_eq!(site.plc.at(site.now).write(200, &[1, 1]), Err(Exception::IllegalDataAddress));
}
