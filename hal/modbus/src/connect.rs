//! How a wire is opened.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::TcpStream;
use tokio_serial::{DataBits, FlowControl, SerialPortBuilderExt as _, SerialStream, StopBits};

use crate::config::Parity;
use crate::device::Stream;
use crate::fault::Fault;

/// Opens the wire of a line, again and again.
pub trait Connect: Send + 'static {
    /// What it opens.
    type Stream: Stream;

    /// Opens it. A stream must hand on at once what is written to it.
    ///
    /// # Errors
    /// If the peer refuses or cannot be reached.
    fn connect(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Opens a TCP connection.
#[derive(Debug, Clone)]
pub(crate) struct TcpConnector {
    pub(crate) address: SocketAddr,
}

impl Connect for TcpConnector {
    type Stream = TcpStream;

    async fn connect(&mut self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await?;
        // Nagle's algorithm would hold a request back until the last answer's acknowledgement.
        stream.set_nodelay(true)?;
        // A connection that is given up must not send what it still holds: by then another node may be
        // writing. It is reset instead.
        stream.set_zero_linger()?;
        Ok(stream)
    }
}

/// Opens a serial port.
#[derive(Debug, Clone)]
pub(crate) struct SerialConnector {
    pub(crate) path: PathBuf,
    pub(crate) baud_rate: u32,
    pub(crate) parity: Parity,
}

impl Connect for SerialConnector {
    type Stream = SerialStream;

    async fn connect(&mut self) -> io::Result<SerialStream> {
        let (parity, stop_bits) = match self.parity {
            Parity::Even => (tokio_serial::Parity::Even, StopBits::One),
            Parity::Odd => (tokio_serial::Parity::Odd, StopBits::One),
            Parity::None => (tokio_serial::Parity::None, StopBits::Two),
            Parity::NoneOneStop => (tokio_serial::Parity::None, StopBits::One),
        };
        tokio_serial::new(self.path.to_string_lossy(), self.baud_rate)
            .data_bits(DataBits::Eight)
            .parity(parity)
            .stop_bits(stop_bits)
            .flow_control(FlowControl::None)
            .open_native_async()
            .map_err(io::Error::from)
    }
}

/// The name of a failure to connect.
pub(crate) fn connect_fault(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Fault::ConnectRefused,
        io::ErrorKind::TimedOut => Fault::ConnectTimeout,
        _ => Fault::ConnectFailed,
    }
}
