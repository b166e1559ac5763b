//! Simulated turbines in this process, and a tap on the wire to one of them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use hal_units::{Duration, MetersPerSecond};
use sim_devices::registers::{COMMANDS_COUNT, COMMANDS_START, COMMANDS_TOGETHER_COUNT, CommandWords};
use sim_devices::{DeviceFault, Farm, FarmConfig, FieldDevice, PlcConfig, TurbinePlc, WriteLog, WriteRecord};
use sim_plants::{RotorSurface, Turbine, TurbinePlantParameters, Wind};
use tokio::sync::oneshot;

/// Devices that wait for an agent; turbines are in operation.
pub(crate) struct Field<D: FieldDevice = TurbinePlc> {
    farm: Arc<Farm<D>>,
    log: Arc<WriteLog>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Field {
    /// The PLCs' own watchdogs are patient: what the agent does is to be seen, not what they do without it.
    pub(crate) fn in_wind(turbines: u64, wind_mps: f64) -> Self {
        let wind = MetersPerSecond(wind_mps);
        let plcs = (0..turbines)
            .map(|seed| {
                let turbine = Turbine::new(TurbinePlantParameters::NREL_5MW, RotorSurface::nrel_5mw());
                let config = PlcConfig {
                    hold_after: Duration::from_secs(20),
                    safe_after: Duration::from_secs(30),
                    seed,
                    // The first one carries the arbiter, for sites with a pair.
                    arbiter: seed == 0,
                    ..PlcConfig::default()
                };
                TurbinePlc::new(turbine.in_operation(wind), Wind::constant(wind), config)
            })
            .collect();
        Self::of(plcs)
    }
}

impl<D: FieldDevice> Field<D> {
    pub(crate) fn of(devices: Vec<D>) -> Self {
        Self::logged(devices, 0)
    }

    /// Devices whose last writes are kept, so many of all of them.
    pub(crate) fn logged(devices: Vec<D>, writes: usize) -> Self {
        let log = Arc::new(WriteLog::with_capacity(writes));
        let kept = Arc::clone(&log);
        let (end, ended) = oneshot::channel();
        let (started_in, started) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let farm = Arc::new(
                    Farm::start_logged(
                        devices,
                        FarmConfig { connections_max: 8, ..FarmConfig::default() },
                        Some(kept),
                    )
                    .await
                    .unwrap(),
                );
                started_in.send(Arc::clone(&farm)).unwrap();
                let _ = ended.await;
            });
        });
        Self { farm: started.recv().unwrap(), log, end: Some(end), thread: Some(thread) }
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.farm.addresses().collect()
    }

    pub(crate) fn set_fault(&self, device: usize, fault: DeviceFault) {
        assert!(self.farm.set_fault(device, fault));
    }

    /// The time on the devices' clock.
    pub(crate) fn elapsed(&self) -> std::time::Duration {
        self.farm.started().elapsed()
    }

    /// The writes since this was last asked, for each device.
    pub(crate) fn take_writes(&self) -> Vec<Vec<WriteRecord>> {
        let mut all = Vec::new();
        assert_eq!(self.log.drain(&mut all), 0, "the log was full");
        let mut of_device = vec![Vec::new(); self.farm.addresses().count()];
        all.into_iter().for_each(|(device, write)| of_device[usize::from(device)].push(write));
        of_device
    }

    /// Looks at a device itself.
    pub(crate) fn look<R>(&self, device: usize, look: impl FnOnce(&mut D) -> R) -> R {
        self.farm.with(device, look).unwrap()
    }
}

impl<D: FieldDevice> Drop for Field<D> {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Stands between agent and device, passes everything on, and notes the writes of each connection.
pub(crate) struct Tap {
    pub(crate) address: SocketAddr,
    connections: Arc<Mutex<Vec<Vec<CommandWords>>>>,
}

impl Tap {
    pub(crate) fn before(device: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&connections);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(device)) else { return };
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                let at = {
                    let mut connections = noted.lock().unwrap();
                    connections.push(Vec::new());
                    connections.len() - 1
                };
                let (from_far, to_near) = (far.try_clone().unwrap(), near.try_clone().unwrap());
                std::thread::spawn(move || pass(from_far, to_near, |_| ()));
                let noted = Arc::clone(&noted);
                let mut held = Vec::new();
                std::thread::spawn(move || {
                    pass(near, far, |bytes| {
                        held.extend_from_slice(bytes);
                        while let Some(write) = next_frame(&mut held) {
                            noted.lock().unwrap()[at].extend(write);
                        }
                    });
                });
            }
        });
        Self { address, connections }
    }

    /// The writes so far, for each connection in the order of connecting.
    pub(crate) fn connections(&self) -> Vec<Vec<CommandWords>> {
        self.connections.lock().unwrap().clone()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut note: impl FnMut(&[u8])) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        note(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Takes one Modbus TCP request off the front: `Some(Some(words))` if it writes all command registers.
fn next_frame(held: &mut Vec<u8>) -> Option<Option<CommandWords>> {
    const HEADER: usize = 6;
    const WRITE_MULTIPLE: u8 = 16;
    let length = HEADER + usize::from(u16::from_be_bytes([*held.get(4)?, *held.get(5)?]));
    if held.len() < length {
        return None;
    }
    let frame: Vec<u8> = held.drain(..length).collect();
    let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let is_write = frame[7] == WRITE_MULTIPLE && word(8) == COMMANDS_START;
    if !is_write || usize::from(word(10)) != COMMANDS_TOGETHER_COUNT {
        return Some(None);
    }
    let mut words = [0; COMMANDS_COUNT];
    for (at, place) in words.iter_mut().enumerate().take(COMMANDS_TOGETHER_COUNT) {
        *place = word(13 + 2 * at);
    }
    Some(Some(words))
}
