//! Progress of a run on the terminal.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    domain::run::Run,
    engine::run::{context::Progress, work::Say},
    output::{self, Format},
    store::Store,
};

/// On a terminal beside the bar; elsewhere a line on stderr, at most one in ten seconds.
pub(super) fn say(bar: ProgressBar) -> Say {
    let last = Mutex::new(None::<Instant>);
    Arc::new(move |text: String| {
        if !bar.is_hidden() {
            bar.set_message(output::lines(&text));
            return;
        }
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() > Duration::from_secs(10)) {
            *last = Some(Instant::now());
            output::tell(&text);
        }
    })
}

pub(super) async fn bar(store: &Store, run: &Run, format: Format) -> ProgressBar {
    let (keyspace, table) = run.source.split_once('.').unwrap_or_default();
    let rows = store
        .estimated_partitions(keyspace, table)
        .await
        .ok()
        .flatten();
    let bar = match rows {
        Some(rows) => ProgressBar::new(rows).with_style(style(
            "{elapsed_precise} {bar:30} ~{percent} % {pos} rows read, {per_sec}, ETA {eta} {msg}",
        )),
        None => ProgressBar::new_spinner().with_style(style(
            "{elapsed_precise} {spinner} {pos} rows read, {per_sec} {msg}",
        )),
    };
    if format == Format::Json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

pub(super) async fn draw(bar: ProgressBar, progress: Arc<Progress>) {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (read, written, rejected) = progress.so_far();
        bar.set_position(read);
        if rejected > 0 {
            bar.set_message(format!("{written} written, {rejected} rejected"));
        }
    }
}
