//! What ends a program that serves until it is told to end.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT, and the end of standard input if that is to count.
#[derive(Debug)]
pub(crate) struct Ending {
    terminate: Signal,
    interrupt: Signal,
    with_stdin: bool,
}

impl Ending {
    /// Listens from now on.
    pub(crate) fn new(with_stdin: bool) -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, with_stdin })
    }

    /// Until one of them has come.
    pub(crate) async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = stdin_closed(), if self.with_stdin => {}
        }
    }
}

/// Ends when standard input does.
async fn stdin_closed() {
    let (ended, end) = tokio::sync::oneshot::channel();
    // A read of standard input cannot be cancelled: the thread ends with the process.
    let reader = std::thread::Builder::new().name("takt-stdin".to_owned()).spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    match reader {
        Ok(_) => drop(end.await),
        // Without the thread only signals end the program.
        Err(_) => std::future::pending().await,
    }
}
