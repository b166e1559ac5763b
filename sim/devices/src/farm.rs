//! Many devices on Modbus TCP, in real time.
//!
//! # Model
//!
//! One task ticks all devices; each device has a task that accepts and, for each connection, a task that
//! answers one request after the other. They meet at the device's lock, which is held for the time of
//! one scan or one request. All connections have TCP_NODELAY. Everything runs on the runtime that
//! [`Farm::start`] is called on, and ends when the [`Farm`] is dropped.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant as Clock;

use hal_units::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::drive::{self, DriveDevice};
use crate::fault::{DeviceFault, spoil};
use crate::modbus::{self, FRAME_BYTES_MAX, Header, Received};
use crate::plc::{self, TurbinePlc};
use crate::write_log::{WriteLog, WriteRecord};

/// How long to wait before listening again after the port could not be had.
const LISTEN_AGAIN: Duration = Duration::from_millis(200);
/// Room for requests that a master sent without waiting for answers.
const INBOX_BYTES: usize = 4 * FRAME_BYTES_MAX;

/// A device that a farm can let run.
pub trait FieldDevice: Send + 'static {
    /// How often it scans.
    const SCAN: Duration;

    /// Makes the scans that are due.
    fn advance_to(&mut self, now: Instant);

    /// Serves one request; see [`modbus::serve`].
    fn serve(&mut self, now: Instant, header: Header, pdu: &[u8], answer: &mut Vec<u8>);

    /// The last write of commands since this was last asked, if the device keeps a record of them.
    fn take_write(&mut self) -> Option<WriteRecord> {
        None
    }
}

impl FieldDevice for TurbinePlc {
    const SCAN: Duration = plc::SCAN;

    fn advance_to(&mut self, now: Instant) {
        Self::advance_to(self, now);
    }

    fn serve(&mut self, now: Instant, header: Header, pdu: &[u8], answer: &mut Vec<u8>) {
        modbus::serve(header, pdu, &mut self.at(now), answer);
    }

    fn take_write(&mut self) -> Option<WriteRecord> {
        Self::take_write(self)
    }
}

impl FieldDevice for DriveDevice {
    const SCAN: Duration = drive::SCAN;

    fn advance_to(&mut self, now: Instant) {
        Self::advance_to(self, now);
    }

    fn serve(&mut self, now: Instant, header: Header, pdu: &[u8], answer: &mut Vec<u8>) {
        modbus::serve(header, pdu, &mut self.at(now), answer);
    }
}

/// Where a farm listens.
#[derive(Debug, Clone, Copy)]
pub struct FarmConfig {
    /// Address of all devices.
    pub ip: IpAddr,
    /// Port of the first device; the others follow. 0 gives each device any free port.
    pub base_port: u16,
    /// Connections that a device accepts at a time; it closes those beyond.
    pub connections_max: usize,
}

impl Default for FarmConfig {
    /// Loopback, any free ports, four connections.
    fn default() -> Self {
        Self { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), base_port: 0, connections_max: 4 }
    }
}

/// Why a farm did not start.
#[derive(Debug, thiserror::Error)]
pub enum FarmError {
    /// A port cannot be listened on.
    #[error("cannot listen on {address}: {error}\n  remedy: give another base port, or 0 for any free ports")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The ports do not suffice.
    #[error(
        "{devices} devices from port {base_port} on reach beyond port 65535\n  remedy: give a lower base port"
    )]
    Ports {
        /// How many devices.
        devices: usize,
        /// From where.
        base_port: u16,
    },
}

/// Devices of one kind that run and listen.
#[derive(Debug)]
pub struct Farm<D = TurbinePlc> {
    devices: Vec<Arc<Device<D>>>,
    tasks: JoinSet<()>,
    started: Clock,
}

#[derive(Debug)]
struct Device<D> {
    /// From 0.
    number: u16,
    plant: Mutex<D>,
    address: SocketAddr,
    connections_max: usize,
    fault: watch::Sender<DeviceFault>,
    started: Clock,
    log: Option<Arc<WriteLog>>,
}

impl<D: FieldDevice> Device<D> {
    fn now(&self) -> Instant {
        Instant::ZERO + self.started.elapsed()
    }

    fn with<R>(&self, act: impl FnOnce(&mut D) -> R) -> R {
        // A panic elsewhere leaves a device that is whole: it has no state that is halfway.
        act(&mut self.plant.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves one request. The lock is held all the time, so that an exchange is one transaction; the
    /// time is taken under it, so that times and order agree.
    fn serve(&self, header: Header, pdu: &[u8], answer: &mut Vec<u8>) {
        self.with(|device| {
            device.serve(self.now(), header, pdu, answer);
            if let (Some(record), Some(log)) = (device.take_write(), &self.log) {
                log.push(self.number, record);
            }
        });
    }
}

impl<D: FieldDevice> Farm<D> {
    /// Listens for all devices and lets them run. Their time begins now.
    ///
    /// # Errors
    /// If a port cannot be had.
    pub async fn start(plants: Vec<D>, config: FarmConfig) -> Result<Self, FarmError> {
        Self::start_logged(plants, config, None).await
    }

    /// As [`Farm::start`], and notes every write of commands in `log`.
    ///
    /// # Errors
    /// If a port cannot be had.
    pub async fn start_logged(
        plants: Vec<D>,
        config: FarmConfig,
        log: Option<Arc<WriteLog>>,
    ) -> Result<Self, FarmError> {
        let FarmConfig { ip, base_port, connections_max } = config;
        let count = plants.len();
        if base_port != 0 && usize::from(base_port) + count > 0x1_0000 {
            return Err(FarmError::Ports { devices: count, base_port });
        }
        let mut listeners = Vec::with_capacity(count);
        for (at, plant) in plants.into_iter().enumerate() {
            let port = if base_port == 0 { 0 } else { base_port + at as u16 };
            let address = SocketAddr::new(ip, port);
            let complain = |error| FarmError::Listen { address, error };
            let listener = TcpListener::bind(address).await.map_err(complain)?;
            let address = listener.local_addr().map_err(complain)?;
            listeners.push((plant, listener, address));
        }
        let started = Clock::now();
        let mut tasks = JoinSet::new();
        let mut devices = Vec::with_capacity(count);
        for (number, (plant, listener, address)) in (0..).zip(listeners) {
            let fault = watch::Sender::new(DeviceFault::None);
            let (plant, log) = (Mutex::new(plant), log.clone());
            let device = Arc::new(Device { number, plant, address, connections_max, fault, started, log });
            tasks.spawn(listen(Arc::clone(&device), listener));
            devices.push(device);
        }
        tasks.spawn(tick(devices.clone()));
        Ok(Self { devices, tasks, started })
    }

    /// When the devices' time began: the zero of the write log's clock.
    #[must_use]
    pub const fn started(&self) -> Clock {
        self.started
    }

    /// Where the devices listen, in their order.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.devices.iter().map(|device| device.address)
    }

    /// Sets a device's fault; `false` if there is no such device. Devices count from 0.
    pub fn set_fault(&self, device: usize, fault: DeviceFault) -> bool {
        self.devices.get(device).map(|device| device.fault.send_replace(fault)).is_some()
    }

    /// Looks at a device, or changes something about it; `None` if there is no such device. It stands still as
    /// long as this takes.
    pub fn with<R>(&self, device: usize, act: impl FnOnce(&mut D) -> R) -> Option<R> {
        self.devices.get(device).map(|device| device.with(act))
    }

    /// Closes all connections and stops the plants.
    pub async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// Lets the plants run.
async fn tick<D: FieldDevice>(devices: Vec<Arc<Device<D>>>) {
    let mut ticks = tokio::time::interval(D::SCAN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        for device in &devices {
            device.with(|plant| plant.advance_to(device.now()));
        }
    }
}

/// Accepts connections as long as the device is there.
async fn listen<D: FieldDevice>(device: Arc<Device<D>>, first: TcpListener) {
    let mut faults = device.fault.subscribe();
    let mut listener = Some(first);
    loop {
        if *faults.borrow_and_update() == DeviceFault::Refuse {
            listener = None;
            if faults.changed().await.is_err() {
                return;
            }
            continue;
        }
        let open = match listener.take() {
            Some(open) => open,
            None => match TcpListener::bind(device.address).await {
                Ok(open) => open,
                // Somebody has the port for a moment, perhaps a closed connection of our own.
                Err(_) => {
                    tokio::time::sleep(LISTEN_AGAIN).await;
                    continue;
                }
            },
        };
        accept(&device, &open, &mut faults).await;
        listener = Some(open);
    }
}

/// Accepts connections until the device refuses; returning closes them all.
async fn accept<D: FieldDevice>(
    device: &Arc<Device<D>>,
    listener: &TcpListener,
    faults: &mut watch::Receiver<DeviceFault>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            changed = faults.changed() => {
                if changed.is_err() || *faults.borrow_and_update() == DeviceFault::Refuse {
                    return;
                }
            }
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < device.connections_max => {
                    connections.spawn(converse(Arc::clone(device), stream));
                }
                // One too many: closing it is the answer.
                Ok(_) => {}
                // Out of file descriptors, or a connection that died before it was accepted.
                Err(_) => tokio::time::sleep(LISTEN_AGAIN).await,
            },
        }
    }
}

/// Answers one connection's requests until it closes or speaks no Modbus.
async fn converse<D: FieldDevice>(device: Arc<Device<D>>, mut stream: TcpStream) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut inbox = [0; INBOX_BYTES];
    let mut held = 0;
    let mut answer = Vec::with_capacity(FRAME_BYTES_MAX);
    let mut spoiled = 0;
    loop {
        match stream.read(inbox.get_mut(held..).unwrap_or_default()).await {
            Ok(0) | Err(_) => return,
            Ok(received) => held += received,
        }
        let mut done = 0;
        loop {
            let waiting = inbox.get(done..held).unwrap_or_default();
            let (header, pdu, length) = match modbus::receive(waiting) {
                Received::Frame { header, pdu, length } => (header, pdu, length),
                Received::Partial => break,
                Received::Broken => return,
            };
            let fault = *device.fault.borrow();
            if fault != DeviceFault::Dead {
                device.serve(header, pdu, &mut answer);
                if send(&mut stream, fault, &mut answer, &mut spoiled).await.is_err() {
                    return;
                }
            }
            done += length;
        }
        inbox.copy_within(done..held, 0);
        held -= done;
    }
}

async fn send(
    stream: &mut TcpStream,
    fault: DeviceFault,
    answer: &mut [u8],
    spoiled: &mut u32,
) -> io::Result<()> {
    match fault {
        DeviceFault::None | DeviceFault::Dead | DeviceFault::Refuse => {}
        DeviceFault::Slow(by) => tokio::time::sleep(by).await,
        DeviceFault::Garbage => {
            spoil(answer, *spoiled);
            *spoiled = spoiled.wrapping_add(1);
        }
    }
    stream.write_all(answer).await
}
