//! The end of standard input, as a wish to end.

/// Ends when standard input does.
pub(crate) async fn closed() {
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
