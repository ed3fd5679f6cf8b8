//! Progress bar and Ctrl-C for a pass over the source.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    failure::Exit,
    inspect::pass::Running,
    output::{self, Format},
};

/// Runs `work` with a progress bar. The first Ctrl-C or SIGTERM stops `running`, which keeps finished
/// work; the second exits at once.
pub async fn watched<T>(format: Format, running: &Running, work: impl Future<Output = T>) -> T {
    let bar = ProgressBar::new_spinner();
    if format == Format::Json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let template = "{elapsed_precise} {bar:30} {percent} % {msg}";
    bar.set_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let drawing = tokio::spawn(draw(bar.clone(), running.clone()));
    let stopping = tokio::spawn(stop_on_signal(running.clone()));
    let outcome = work.await;
    drawing.abort();
    stopping.abort();
    bar.finish_and_clear();
    outcome
}

async fn draw(bar: ProgressBar, running: Running) {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (rows, splits, total) = running.progress.so_far();
        bar.set_length(total.max(1));
        bar.set_position(splits);
        let rate = rows as f64 / bar.elapsed().as_secs_f64();
        bar.set_message(format!("{rows} rows read, {rate:.0} per second"));
    }
}

async fn stop_on_signal(running: Running) {
    super::signal().await;
    output::tell("finishing work in progress; press Ctrl-C again to exit at once");
    running.stop();
    super::signal().await;
    std::process::exit(Exit::Interrupted as i32);
}
