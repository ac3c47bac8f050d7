//! The `operator` command.

use std::{
    error::Error,
    io::{Write, stdout},
    process::ExitCode,
};

use clap::{CommandFactory, Parser};
use cli::{Exit, exit, pages, progress::Progress};
use crds::pipeline::LoginPipeline;
use kube::CustomResourceExt;
use operator::{
    args::{Args, Check, Command, Run},
    check::{gather, judge::judge},
    client::connect,
    manifest,
    run::{BLOCKING_THREADS, RunError},
    serve::metrics::Metrics,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

fn main() -> ExitCode {
    exit::finish("operator", perform(Args::parse()))
}

fn perform(args: Args) -> Result<Exit, Box<dyn Error>> {
    args.logs.start(&args.log_filter())?;
    Ok(match args.command {
        Command::Run(options) => run(options)?,
        Command::Crd => print_crd()?,
        Command::Validate(options) => manifest::run(&options)?,
        Command::Check(options) => check(&options)?,
        Command::Completions(options) => pages::completions(&options, Args::command())?,
        Command::Man(options) => pages::man(&options, Args::command())?,
    })
}

fn print_crd() -> Result<Exit, Box<dyn Error>> {
    stdout().lock().write_all(serde_yaml::to_string(&LoginPipeline::crd())?.as_bytes())?;
    Ok(Exit::Clean)
}

fn check(options: &Check) -> Result<Exit, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let progress = Progress::waiting("looking at the cluster and at the Kafka of its pipelines");
    let facts = runtime.block_on(async {
        let (metrics, _) = Metrics::new();
        let client = connect(metrics).await?;
        Ok::<_, Box<dyn Error>>(gather(&client, options).await?)
    });
    drop(progress);
    let report = judge(&facts?);
    options.output.print(&report)?;
    Ok(Exit::found(!report.is_success()))
}

fn run(options: Run) -> Result<Exit, RunError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().max_blocking_threads(BLOCKING_THREADS).enable_all().build()?;
    let result = runtime.block_on(run_until_signal(options));
    // A thread may still wait for a Kafka that does not answer; it changes nothing any more.
    runtime.shutdown_background();
    match result {
        Err(lost @ RunError::LeadershipLost(_)) => {
            cli::output::tell(format_args!("operator: {}", exit::with_causes(&lost)));
            Ok(Exit::LeadershipLost)
        }
        result => result.map(|()| Exit::Clean),
    }
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
