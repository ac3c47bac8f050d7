//! The operator's command line: `run`, `crd`, `validate`.

use std::{
    io::{IsTerminal, Write, stderr},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use crds::pipeline::LoginPipeline;
use kube::{Client, CustomResourceExt};
use operator::{
    args::{Args, Command, LogFormat, Run},
    causes::with_causes,
    controller, manifest,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Failed to run.
const FAILURE: u8 = 2;

fn main() -> ExitCode {
    match Args::parse().command {
        Command::Run(options) => finish(run(options)),
        Command::Crd => finish(print_crd()),
        Command::Validate(options) => {
            let report = manifest::validate_files(&options.files);
            let mut stdout = std::io::stdout().lock();
            let written = report.lines.iter().try_for_each(|line| writeln!(stdout, "{line}"));
            if written.is_err() { ExitCode::from(FAILURE) } else { ExitCode::from(report.exit_code()) }
        }
    }
}

fn finish(result: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when standard error is closed.
            let _ = writeln!(stderr(), "operator: {}", with_causes(error.as_ref()));
            ExitCode::from(FAILURE)
        }
    }
}

fn print_crd() -> Result<(), Box<dyn std::error::Error>> {
    std::io::stdout().lock().write_all(serde_yaml::to_string(&LoginPipeline::crd())?.as_bytes())?;
    Ok(())
}

fn run(options: Run) -> Result<(), Box<dyn std::error::Error>> {
    log_to_stderr(options.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let asked = options.listen;
        let listener = TcpListener::bind(asked).await.map_err(|error| format!("cannot listen on {asked}: {error}"))?;
        let listen = listener.local_addr()?;
        let client = Client::try_default().await.map_err(|error| {
            let error = with_causes(&error);
            format!("no API server is known: run in a cluster, or set KUBECONFIG to a kubeconfig file ({error})")
        })?;
        let (stop, stopped) = watch::channel(false);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping");
            stop.send_replace(true);
        });
        tracing::info!(%listen, namespace = options.namespace, image = options.processor_image, "started");
        controller::run(client, options, listener, stopped).await?;
        Ok(())
    });
    // A thread may still wait for a Kafka that does not answer; it changes nothing any more.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// The client logs each failed request without its cause; whoever asked logs it with all of them.
const LOGGED: &str = "info,kube_client::client::builder=off";

fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_ansi(stderr().is_terminal()).with_writer(stderr);
    match format {
        LogFormat::Text => registry.with(layer).init(),
        LogFormat::Json => registry.with(layer.json()).init(),
    }
}
