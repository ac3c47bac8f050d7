//! The signal that asks the operator to stop.

use tokio::sync::watch;

/// Completes when `stop` turns true, or when its sender is gone: nothing could stop the operator any more then.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
