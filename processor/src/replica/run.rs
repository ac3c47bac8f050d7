//! `processor run`: a replica until SIGTERM.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use cli::Exit;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{
    error::RunError,
    server::router,
    supervised,
    threads::{Replica, STOP_BOUND},
};
use crate::{config, view};

/// Runs one replica of a pipeline until SIGTERM.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Replicas of a pipeline share its partitions, wherever they run; each needs a name of its own. On SIGTERM or Ctrl-C it commits, leaves
the group, and ends within 9 seconds.

Examples:
  processor run --config job.json --replica a --listen 127.0.0.1:8081
  processor run --config job.json --replica b --listen 127.0.0.1:0 --log-level debug

Exit codes: 0 it drained, 1 it did not within its time: what was not committed is taken up by the others, 2 it could not run")]
pub struct RunArgs {
    /// The job config, as the operator renders it
    #[arg(long, value_name = "FILE", env = "LOGIN_PIPELINE_CONFIG")]
    pub config: PathBuf,
    /// This replica's name: unique in the pipeline, and the same after a restart. In Kubernetes the name of the pod
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub replica: String,
    /// Where /healthz, /readyz, /metrics and the live page at / are served; port 0 takes a free one and logs it
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080", env = "LOGIN_PIPELINE_LISTEN")]
    pub listen: SocketAddr,
    /// Serve the process that started this one: tell on stdout how it is, and stop when stdin ends
    #[arg(long, hide = true)]
    pub supervised: bool,
}

/// Runs one replica until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, or a thread ends by itself.
pub fn run(args: &RunArgs) -> Result<Exit, RunError> {
    let job = Arc::new(config::read(&args.config, None, None)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let replica = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let listener =
            TcpListener::bind(args.listen).await.map_err(|source| RunError::Listen { address: args.listen, source })?;
        let replica = Replica::start(&job, &args.replica)?;
        let address = listener.local_addr()?;
        tracing::info!(pipeline = %job.pipeline, revision = job.revision, %address, "running");
        let (publisher, page) = view::channel();
        tokio::spawn(replica.source().feed(publisher));
        let server = axum::serve(listener, router(&replica, page)).into_future();
        let ended = async {
            while !replica.any_ended() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
            _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
            () = supervised::serve(args.supervised, address, || replica.report(), replica.drain.clone()) => tracing::info!("told to end: draining"),
            () = ended => {}
            result = server => result?,
        }
        replica.stop();
        Ok::<_, RunError>(replica)
    })?;
    if replica.join()? {
        return Ok(Exit::Clean);
    }
    tracing::warn!("not drained within {STOP_BOUND:?}: ending; the next owner takes up from what is committed");
    Ok(Exit::Found)
}
