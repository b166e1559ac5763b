//! The one server that all masters ask: registers that never change, behind as many ports as there are devices.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Transaction, protocol, length and unit: Modbus Messaging on TCP/IP V1.0b, section 3.1.3.
const HEADER: usize = 7;
/// Function, first register, count.
const REQUEST: usize = 5;
const READ_HOLDING_REGISTERS: u8 = 3;
/// The specification's limit for one answer.
const REGISTERS_MAX: u16 = 125;

/// A server on a thread of its own; it ends with the process.
pub(super) struct Server {
    pub(super) addresses: Vec<SocketAddr>,
}

impl Server {
    /// Listens on so many ports of the loopback interface.
    pub(super) fn start(devices: usize) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let listeners = runtime.block_on(async {
            let mut listeners = Vec::with_capacity(devices);
            for _ in 0..devices {
                listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?);
            }
            Ok::<_, io::Error>(listeners)
        })?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        std::thread::Builder::new().name("takt-devices".to_owned()).spawn(move || {
            runtime.block_on(async {
                for listener in listeners {
                    tokio::spawn(accept(listener));
                }
                std::future::pending::<()>().await;
            });
        })?;
        Ok(Self { addresses })
    }
}

async fn accept(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            // Whoever leaves ends it.
            let _ = serve(stream).await;
        });
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0_u8; HEADER + REQUEST];
    let mut answer = Vec::with_capacity(HEADER + 2 + 2 * usize::from(REGISTERS_MAX));
    loop {
        stream.read_exact(&mut request).await?;
        let [t1, t2, _, _, _, _, unit, function, _, _, count_high, count_low] = request;
        let count = u16::from_be_bytes([count_high, count_low]);
        if function != READ_HOLDING_REGISTERS || count > REGISTERS_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let length = (3 + 2 * count).to_be_bytes();
        answer.clear();
        answer.extend([t1, t2, 0, 0, length[0], length[1], unit, function, (2 * count) as u8]);
        (0..count).for_each(|register| answer.extend(register.to_be_bytes()));
        stream.write_all(&answer).await?;
    }
}
