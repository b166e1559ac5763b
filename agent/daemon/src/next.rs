//! What comes next on a channel that may not be there.

use tokio::sync::mpsc::Receiver;

/// What comes next; never without a channel, nor when nobody can send on it any more.
pub(crate) async fn next_or_never<T>(channel: Option<&mut Receiver<T>>) -> T {
    if let Some(channel) = channel
        && let Some(next) = channel.recv().await
    {
        return next;
    }
    std::future::pending().await
}
