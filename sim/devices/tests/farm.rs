//! The farm over real sockets, asked by a foreign Modbus master.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hal_units::MetersPerSecond;
use sim_devices::registers::{self, CommandWords};
use sim_devices::{
    DeviceFault, Farm, FarmConfig, FarmError, PlcConfig, PlcState, TurbinePlc, Verdict, WriteLog,
};
use sim_plants::{NoiseLevels, RotorSurface, Turbine, TurbinePlantParameters, Wind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_modbus::client::{Context, tcp};
use tokio_modbus::prelude::*;

/// Long for an answer on loopback, even on a busy machine.
const SOON: Duration = Duration::from_secs(5);
/// Short for a test that waits for nothing to come.
const SILENCE: Duration = Duration::from_millis(300);

fn plc(wind_mps: f64) -> TurbinePlc {
    let wind = MetersPerSecond(wind_mps);
    let turbine = Turbine::new(TurbinePlantParameters::NREL_5MW, RotorSurface::nrel_5mw());
    let config = PlcConfig { noise: NoiseLevels::NONE, ..PlcConfig::default() };
    TurbinePlc::new(turbine.in_operation(wind), Wind::constant(wind), config)
}

async fn farm(winds_mps: &[f64]) -> (Farm, Vec<SocketAddr>) {
    let plcs = winds_mps.iter().map(|&wind_mps| plc(wind_mps)).collect();
    let farm = Farm::start(plcs, FarmConfig::default()).await.unwrap();
    let addresses = farm.addresses().collect();
    (farm, addresses)
}

async fn master(address: SocketAddr) -> Context {
    tcp::connect(address).await.unwrap()
}

async fn measured(master: &mut Context) -> Vec<u16> {
    timeout(SOON, master.read_holding_registers(0, 30)).await.unwrap().unwrap().unwrap()
}

fn commands(pitch_rad: f64, epoch: u32, watchdog: u16) -> CommandWords {
    let mut words = [0; registers::COMMANDS_COUNT];
    registers::PITCH_CMD.set_f32(&mut words, pitch_rad);
    registers::EPOCH_CMD.set_u32(&mut words, epoch);
    registers::WATCHDOG.set_u16(&mut words, watchdog);
    words
}

#[tokio::test]
async fn each_device_shows_its_own_turbine_and_time_passes_in_it() {
    let (_farm, addresses) = farm(&[8.0, 14.0]).await;
    for (address, wind_mps) in addresses.into_iter().zip([8.0, 14.0]) {
        let mut master = master(address).await;
        let first = registers::SCAN_COUNTER.u16(&measured(&mut master).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let words = measured(&mut master).await;
        assert_eq!(registers::WIND_SPEED.f32(&words), wind_mps);
        let scans = registers::SCAN_COUNTER.u16(&words).wrapping_sub(first);
        assert!((15..=400).contains(&scans), "{scans} scans in a little more than 100 ms");
    }
}

#[tokio::test]
async fn a_foreign_master_is_served_with_every_function_code() {
    let (_farm, addresses) = farm(&[14.0]).await;
    let mut master = master(addresses[0]).await;
    let written = commands(0.5, 7, 1);
    master.write_multiple_registers(100, &written).await.unwrap().unwrap();
    assert_eq!(master.read_input_registers(100, 18).await.unwrap().unwrap(), written);
    let alone = master.write_single_register(registers::WATCHDOG.address, 2).await.unwrap();
    assert_eq!(alone, Err(ExceptionCode::IllegalDataValue), "an epoch was seen, and this names none");
    let exchanged = master.read_write_multiple_registers(100, 18, 100, &commands(0.6, 8, 3)).await;
    assert_eq!(exchanged.unwrap().unwrap(), commands(0.6, 8, 3));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let words = measured(&mut master).await;
    assert_eq!((registers::EPOCH.u32(&words), registers::WATCHDOG_ECHO.u16(&words)), (8, 3));
}

/// A farm whose only device carries an arbiter, on two threads, with a log.
async fn arbiter_farm(log: Option<Arc<WriteLog>>) -> (Farm, SocketAddr) {
    let wind = MetersPerSecond(14.0);
    let turbine = Turbine::new(TurbinePlantParameters::NREL_5MW, RotorSurface::nrel_5mw());
    let config = PlcConfig { arbiter: true, ..PlcConfig::default() };
    let plcs = vec![TurbinePlc::new(turbine.in_operation(wind), Wind::constant(wind), config)];
    let farm = Farm::start_logged(plcs, FarmConfig::default(), log).await.unwrap();
    let address = farm.addresses().next().unwrap();
    (farm, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_claims_at_once_never_both_read_the_other_slot_empty() {
    let (farm, address) = arbiter_farm(None).await;
    let (mut a, mut b) = (master(address).await, master(address).await);
    for _ in 0..200 {
        for pair in [200, 202] {
            a.write_multiple_registers(pair, &[0, 0]).await.unwrap().unwrap();
        }
        let (by_a, by_b) = tokio::join!(
            a.read_write_multiple_registers(200, 4, 200, &[1, 1]),
            b.read_write_multiple_registers(200, 4, 202, &[1, 1]),
        );
        let (by_a, by_b) = (by_a.unwrap().unwrap(), by_b.unwrap().unwrap());
        assert!(by_a[2] == 1 || by_b[0] == 1, "both won: {by_a:?} {by_b:?}");
        assert!((by_a[0], by_b[2]) == (1, 1), "a claim reads itself: {by_a:?} {by_b:?}");
    }
    assert_eq!(farm.with(0, |plc| plc.truth().arbiter_writes), Some(800));
}

#[tokio::test]
async fn what_two_masters_write_is_logged_in_the_order_of_its_effect() {
    let log = Arc::new(WriteLog::with_capacity(64));
    let (_farm, address) = arbiter_farm(Some(Arc::clone(&log))).await;
    let (mut old, mut new) = (master(address).await, master(address).await);
    old.write_multiple_registers(100, &commands(0.1, 1, 1)).await.unwrap().unwrap();
    new.write_multiple_registers(108, &[0, 2]).await.unwrap().unwrap();
    old.write_multiple_registers(100, &commands(0.1, 1, 2)).await.unwrap().unwrap_err();
    new.write_multiple_registers(100, &commands(0.2, 2, 3)).await.unwrap().unwrap();
    old.write_single_register(110, 9).await.unwrap().unwrap_err();
    let mut records = Vec::new();
    assert_eq!(log.drain(&mut records), 0);
    let seen: Vec<_> = records.iter().map(|(at, record)| (*at, record.epoch, record.verdict)).collect();
    let expected = [
        (0, Some(1), Verdict::Applied),
        (0, Some(2), Verdict::Fenced),
        (0, Some(1), Verdict::LowerEpoch),
        (0, Some(2), Verdict::Applied),
        (0, None, Verdict::NoEpoch),
    ];
    assert_eq!(seen, expected);
    assert!(records.windows(2).all(|pair| pair[0].1.at < pair[1].1.at), "{records:?}");
}

#[tokio::test]
async fn a_foreign_master_sees_the_right_exceptions() {
    let (farm, addresses) = farm(&[14.0]).await;
    let mut master = master(addresses[0]).await;
    let answer = master.read_holding_registers(40, 1).await.unwrap();
    assert_eq!(answer, Err(ExceptionCode::IllegalDataAddress));
    let answer = master.write_single_register(0, 1).await.unwrap();
    assert_eq!(answer, Err(ExceptionCode::IllegalDataAddress));
    let answer = master.read_coils(0, 1).await.unwrap();
    assert_eq!(answer, Err(ExceptionCode::IllegalFunction));
    master.write_multiple_registers(100, &commands(0.5, 9, 1)).await.unwrap().unwrap();
    let answer = master.write_multiple_registers(100, &commands(0.5, 8, 2)).await.unwrap();
    assert_eq!(answer, Err(ExceptionCode::IllegalDataValue));
    let truth = farm.with(0, |plc| *plc.truth()).unwrap();
    assert_eq!((truth.writes_applied, truth.writes_refused_by_epoch), (1, 1));
}

#[tokio::test]
async fn a_master_that_falls_silent_is_replaced_by_the_safe_state() {
    let (farm, addresses) = farm(&[14.0]).await;
    let mut master = master(addresses[0]).await;
    master.write_multiple_registers(100, &commands(0.2, 0, 1)).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(matches!(farm.with(0, |plc| plc.state()).unwrap(), PlcState::Safe { .. }));
    master.write_multiple_registers(100, &commands(0.2, 0, 2)).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(registers::PLC_STATE.u16(&measured(&mut master).await), 0);
}

#[tokio::test]
async fn requests_in_pieces_and_in_bunches_are_all_answered_in_order() {
    let (_farm, addresses) = farm(&[14.0]).await;
    let mut stream = TcpStream::connect(addresses[0]).await.unwrap();
    let mut requests = Vec::new();
    for transaction in 0..40_u8 {
        requests.extend([0, transaction, 0, 0, 0, 6, 1, 3, 0, 100, 0, 1]);
    }
    for piece in requests.chunks(7) {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
    }
    for transaction in 0..40_u8 {
        let mut answer = [0; 11];
        timeout(SOON, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer[..9], [0, transaction, 0, 0, 0, 5, 1, 3, 2]);
    }
}

#[tokio::test]
async fn what_is_no_modbus_closes_the_connection_and_no_other() {
    let (_farm, addresses) = farm(&[14.0]).await;
    let mut good = master(addresses[0]).await;
    let mut stream = TcpStream::connect(addresses[0]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    // An end or a reset: in both cases nothing was answered.
    let _ = timeout(SOON, stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, []);
    assert_eq!(measured(&mut good).await.len(), 30);
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_makes_room_when_one_goes() {
    let (_farm, addresses) = farm(&[14.0]).await;
    let mut masters = Vec::new();
    for _ in 0..4 {
        let mut master = master(addresses[0]).await;
        measured(&mut master).await;
        masters.push(master);
    }
    let mut fifth = TcpStream::connect(addresses[0]).await.unwrap();
    let ended = timeout(SOON, fifth.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    masters.pop();
    let mut served = false;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut again = master(addresses[0]).await;
        served = matches!(timeout(SOON, again.read_holding_registers(0, 1)).await, Ok(Ok(Ok(_))));
        if served {
            break;
        }
    }
    assert!(served, "the place of the connection that went stays taken");
}

#[tokio::test]
async fn a_dead_device_accepts_and_never_answers() {
    let (farm, addresses) = farm(&[14.0, 8.0]).await;
    let (mut dead, mut alive) = (master(addresses[0]).await, master(addresses[1]).await);
    measured(&mut dead).await;
    assert!(farm.set_fault(0, DeviceFault::Dead));
    assert!(timeout(SILENCE, dead.read_holding_registers(0, 30)).await.is_err());
    let mut late = master(addresses[0]).await;
    assert!(timeout(SILENCE, late.read_holding_registers(0, 30)).await.is_err());
    assert_eq!(measured(&mut alive).await.len(), 30);
    farm.set_fault(0, DeviceFault::None);
    let mut healed = master(addresses[0]).await;
    assert_eq!(measured(&mut healed).await.len(), 30);
}

#[tokio::test]
async fn a_refusing_device_closes_its_connections_until_it_is_healed() {
    let (farm, addresses) = farm(&[14.0]).await;
    let mut open = TcpStream::connect(addresses[0]).await.unwrap();
    farm.set_fault(0, DeviceFault::Refuse);
    let ended = timeout(SOON, open.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    assert!(TcpStream::connect(addresses[0]).await.is_err());
    farm.set_fault(0, DeviceFault::None);
    let back = async {
        loop {
            if let Ok(mut master) = tcp::connect(addresses[0]).await {
                return measured(&mut master).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(timeout(SOON, back).await.unwrap().len(), 30);
}

#[tokio::test]
async fn a_slow_device_answers_late() {
    let (farm, addresses) = farm(&[14.0]).await;
    let mut master = master(addresses[0]).await;
    farm.set_fault(0, DeviceFault::Slow(Duration::from_millis(200)));
    let asked = std::time::Instant::now();
    assert_eq!(measured(&mut master).await.len(), 30);
    assert!(asked.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn garbage_is_never_what_was_asked_for() {
    let (farm, addresses) = farm(&[14.0]).await;
    farm.set_fault(0, DeviceFault::Garbage);
    let mut stream = TcpStream::connect(addresses[0]).await.unwrap();
    for transaction in 0..8_u8 {
        stream.write_all(&[0, transaction, 0, 0, 0, 6, 1, 3, 0, 100, 0, 1]).await.unwrap();
        let mut answer = [0; 11];
        timeout(SOON, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_ne!(answer[..9], [0, transaction, 0, 0, 0, 5, 1, 3, 2], "transaction {transaction}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let (_farm, addresses) = farm(&[14.0]).await;
    let config = FarmConfig { base_port: addresses[0].port(), ..FarmConfig::default() };
    let error = Farm::start(vec![plc(8.0)], config).await.unwrap_err();
    assert!(matches!(&error, FarmError::Listen { address, .. } if *address == addresses[0]), "{error}");
    let config = FarmConfig { base_port: 65535, ..FarmConfig::default() };
    let error = Farm::start(vec![plc(8.0), plc(8.0)], config).await.unwrap_err();
    assert!(matches!(error, FarmError::Ports { devices: 2, base_port: 65535 }), "{error}");
}
