//! The operator's command line: `run`, `crd`, `validate`, `check`, `completions`.

use std::{
    io::{IsTerminal, Write, stderr},
    process::ExitCode,
};

use clap::{CommandFactory, Parser};
use crds::pipeline::LoginPipeline;
use kube::CustomResourceExt;
use operator::{
    args::{Args, Check, Command, LogFormat, Output, Run, Shell},
    causes::with_causes,
    check::{gather, judge::judge},
    client::connect,
    controller, manifest,
    metrics::Metrics,
    run::RunError,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Failed to run.
const FAILURE: u8 = 2;

/// Another operator may lead now: to be started anew.
const LEADERSHIP_LOST: u8 = 3;

fn main() -> ExitCode {
    match Args::parse().command {
        Command::Run(options) => match run(options) {
            Err(lost @ RunError::LeadershipLost(_)) => {
                finish(Err(lost.into()));
                ExitCode::from(LEADERSHIP_LOST)
            }
            result => finish(result.map_err(Into::into)),
        },
        Command::Crd => finish(print_crd()),
        Command::Validate(options) => {
            let report = manifest::validate_files(&options.files);
            let mut stdout = std::io::stdout().lock();
            let written = report.lines.iter().try_for_each(|line| writeln!(stdout, "{line}"));
            if written.is_err() { ExitCode::from(FAILURE) } else { ExitCode::from(report.exit_code()) }
        }
        Command::Check(options) => match check(&options) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => finish(Err(error)),
        },
        Command::Completions { shell } => {
            let shell = match shell {
                Shell::Bash => clap_complete::Shell::Bash,
                Shell::Zsh => clap_complete::Shell::Zsh,
                Shell::Fish => clap_complete::Shell::Fish,
            };
            clap_complete::generate(shell, &mut Args::command(), "operator", &mut std::io::stdout().lock());
            ExitCode::SUCCESS
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

/// Whether nothing failed.
fn check(options: &Check) -> Result<bool, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let facts = runtime.block_on(async {
        let (metrics, _) = Metrics::new();
        let client = connect(metrics).await?;
        Ok::<_, Box<dyn std::error::Error>>(gather(&client, options).await?)
    });
    let report = judge(&facts?);
    let text = match options.output {
        Output::Text => report.to_string(),
        Output::Json => format!("{:#}\n", report.json()),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(report.is_success())
}

fn run(options: Run) -> Result<(), RunError> {
    log_to_stderr(options.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(controller::BLOCKING_THREADS)
        .enable_all()
        .build()?;
    let result = runtime.block_on(run_until_signal(options));
    // A thread may still wait for a Kafka that does not answer; it changes nothing any more.
    runtime.shutdown_background();
    result
}

async fn run_until_signal(options: Run) -> Result<(), RunError> {
    let listener = TcpListener::bind(options.listen).await?;
    let listen = listener.local_addr()?;
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
    let (namespaces, image) = (options.watch_namespaces.join(","), &options.processor_image);
    tracing::info!(%listen, namespaces, image, "started");
    operator::run::run(options, listener, stopped).await
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
