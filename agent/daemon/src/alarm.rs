//! Waiting for a moment, to the microsecond, on the asynchronous runtime.

use hal_linux_rt::timer::GridTimer;
use hal_units::Instant;
use tokio::io::unix::AsyncFd;

/// A one-shot timer on the asynchronous runtime; the runtime's own timers tick once a millisecond.
pub(crate) struct Alarm(AsyncFd<GridTimer>);

impl Alarm {
    /// Must be made on the runtime that is to wait.
    pub(crate) fn new() -> std::io::Result<Self> {
        let timer = GridTimer::new()?;
        // The replacement is unsafe because a type may lie about its descriptor; this one owns it.
        #[expect(deprecated, reason = "the replacement is unsafe, and only hal/linux-rt may be")]
        AsyncFd::new(timer).map(Self)
    }

    /// Waits until `at`. May be abandoned and begun anew with another time.
    pub(crate) async fn wait(&self, at: Instant) -> std::io::Result<()> {
        self.0.get_ref().arm_once(at)?;
        loop {
            let mut guard = self.0.readable().await?;
            match guard.try_io(|timer| timer.get_ref().read()) {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }
}
