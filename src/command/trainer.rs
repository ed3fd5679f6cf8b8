//! `helenus trainer`.

use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use super::Context;
use crate::{
    config::{duration, trainers},
    control::trainer::Trainer,
    failure::{Exit, Failure},
    output::Answer,
};

/// Train models again, with commands of your own
///
/// Runs where your training environment is: any number of trainers, on any machines. The file that
/// you name with --config maps names to commands; a retraining names a trainer, so no row can run a
/// command. The command runs in a directory of its own, with limits on time and memory and without
/// helenus's settings. It reads input/train.parquet, input/held_out.parquet and input/training.json
/// (also in HELENUS_INPUT), and writes output/model.onnx, output/features.txt, output/golden.csv and,
/// if it likes, output/metrics.json and output/reference.parquet (HELENUS_OUTPUT).
///
///     [trainers.lightgbm]
///     command = ["/opt/train/venv/bin/python", "/opt/train/train_lightgbm.py"]
///     time_limit = "1h"
///     memory_mib = 8192
///
/// SIGTERM or Ctrl-C kills the command; another trainer starts over. With --once it serves the
/// requests that wait now, and exits.
///
/// Examples:
///
///     helenus trainer --config /etc/helenus/trainer.toml
///     helenus trainer --config trainer.toml --once
///
/// Exit code 2: the file has no trainers, or an invalid one.
///
/// JSON result: {"trainers": [name …], "served": n or null}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Serve the requests that wait now, and exit
    #[arg(long)]
    once: bool,
    /// Time limit for giving the request back after the signal to stop
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    drain_timeout: Duration,
}

impl Args {
    /// Returns whether the command runs until it is stopped, and so logs what it does.
    pub fn is_service(&self) -> bool {
        !self.once
    }
}

/// Runs the trainer.
///
/// # Errors
/// Exit 2: the settings of the trainers; exit 3: Cassandra.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let commands = trainers(context.config.file())?;
    let names: Vec<String> = commands.keys().cloned().collect();
    let store = context.store().await?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        super::signal().await;
        tracing::info!("giving the request under way back; exiting");
        stop.send_replace(true);
        tokio::time::sleep(args.drain_timeout).await;
        std::process::exit(Exit::Interrupted as i32);
    });
    let trainer = Trainer::new(store, commands);
    let served = match args.once {
        true => Some(trainer.once(stopped).await?),
        false => {
            tracing::info!(trainers = names.join(", "), "trainer started");
            trainer.run(stopped).await;
            None
        }
    };
    let text = match served {
        Some(served) => format!("{served} requests served"),
        None => "stopped".to_owned(),
    };
    Ok(Answer::new(
        json!({"trainers": names, "served": served}),
        text,
    ))
}
