//! Ctrl-C where something is waited for.

/// Comes when the user does not want to wait any longer. Made once for all of a wait: what is pressed between
/// two of them would be lost.
pub(super) async fn interruption() {
    // Without the signal there is no interruption.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
