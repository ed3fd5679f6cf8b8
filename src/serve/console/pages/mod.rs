//! The pages, one file each: what is read, and what is shown of it.

mod alarms;
mod aliases;
mod comparisons;
mod drift;
mod drift_feature;
mod entity;
mod evaluations;
mod experiment;
mod experiments;
mod gates;
mod job;
mod jobs;
mod model;
mod models;
mod request;
mod requests;
mod retrainings;
mod run;
mod run_statistics;
mod stream;
mod streams;
mod triggers;
mod version;
mod workers;

use uuid::Uuid;

use super::{
    actions,
    handle::not_found,
    place::{ActPlace, ConsolePlace},
    query::Query,
    read::PageReader,
    table::TableCell,
    view::View,
};
use crate::serve::{caller::Right, error::ApiError};

/// Reads what a place shows.
///
/// # Errors
/// 403, 404, and those of Cassandra.
pub async fn view(
    reader: &PageReader<'_>,
    place: &ConsolePlace,
    query: &Query,
) -> Result<View, ApiError> {
    let caller = reader.caller;
    let of_job = |job: &str| caller.check_job(Right::Read, job);
    let of_model = |model: &str| caller.check_model(Right::Read, model);
    let mut view = match place {
        ConsolePlace::Jobs => Box::pin(jobs::view(reader)).await?,
        ConsolePlace::Job(job) => {
            of_job(job)?;
            Box::pin(job::view(reader, job, query)).await?
        }
        ConsolePlace::Triggers(job) => {
            of_job(job)?;
            Box::pin(triggers::view(reader, job)).await?
        }
        ConsolePlace::Drift(job) => {
            of_job(job)?;
            Box::pin(drift::view(reader, job)).await?
        }
        ConsolePlace::DriftFeature(job, feature) => {
            of_job(job)?;
            Box::pin(drift_feature::view(reader, job, feature, query)).await?
        }
        ConsolePlace::Comparisons(job) => {
            of_job(job)?;
            Box::pin(comparisons::view(reader, job)).await?
        }
        ConsolePlace::Entities(job) => {
            of_job(job)?;
            caller.check(Right::Score)?;
            entity::search(job, query)
        }
        ConsolePlace::Entity(job, key) => {
            of_job(job)?;
            caller.check(Right::Score)?;
            Box::pin(entity::view(reader, job, key)).await?
        }
        ConsolePlace::Run(job, run) => {
            of_job(job)?;
            Box::pin(run::view(reader, job, *run)).await?
        }
        ConsolePlace::Stream(job) => {
            of_job(job)?;
            Box::pin(stream::view(reader, job)).await?
        }
        ConsolePlace::Streams => Box::pin(streams::view(reader)).await?,
        ConsolePlace::Workers => Box::pin(workers::view(reader)).await?,
        ConsolePlace::Models => Box::pin(models::view(reader)).await?,
        ConsolePlace::Model(model) => {
            of_model(model)?;
            Box::pin(model::view(reader, model)).await?
        }
        ConsolePlace::Version(model, version) => {
            of_model(model)?;
            Box::pin(version::view(reader, model, *version)).await?
        }
        ConsolePlace::Aliases(model) => {
            of_model(model)?;
            Box::pin(aliases::view(reader, model)).await?
        }
        ConsolePlace::Evaluations(model) => {
            of_model(model)?;
            Box::pin(evaluations::view(reader, model, query)).await?
        }
        ConsolePlace::Gates(model) => {
            of_model(model)?;
            Box::pin(gates::view(reader, model)).await?
        }
        ConsolePlace::Retrainings(model) => {
            of_model(model)?;
            Box::pin(retrainings::view(reader, model)).await?
        }
        ConsolePlace::Experiments => Box::pin(experiments::view(reader)).await?,
        ConsolePlace::Experiment(job, name) => {
            of_job(job)?;
            Box::pin(experiment::view(reader, job, name)).await?
        }
        ConsolePlace::Alarms => Box::pin(alarms::view(reader, query)).await?,
        ConsolePlace::Requests => Box::pin(requests::view(reader, query)).await?,
        ConsolePlace::Request(id) => Box::pin(request::view(reader, *id)).await?,
        ConsolePlace::Act(_) => return Err(not_found("forms are not views")),
    };
    frame(&mut view);
    Ok(view)
}

/// Adds the trail and the tabs of a page.
fn frame(view: &mut View) {
    let place = view.place.clone();
    let job = |view: &mut View, job: &str, is_tab: bool| {
        view.trail = vec![("/".to_owned(), "Jobs".to_owned())];
        if !matches!(place, ConsolePlace::Job(_)) {
            view.trail
                .push((ConsolePlace::Job(job.to_owned()).path(), job.to_owned()));
        }
        let own = || job.to_owned();
        let tabs = [
            (ConsolePlace::Job(own()), "Runs"),
            (ConsolePlace::Triggers(own()), "Triggers"),
            (ConsolePlace::Drift(own()), "Drift"),
            (ConsolePlace::Comparisons(own()), "Comparisons"),
            (ConsolePlace::Stream(own()), "Stream"),
            (ConsolePlace::Entities(own()), "One entity"),
        ];
        if is_tab {
            view.tabs = tabs
                .map(|(tab, name)| (tab.path(), name, tab == place))
                .into();
            let alarms = Query::default().with(&[("alarms.q", Some(job))]);
            view.tabs.push((alarms.url("/alarms"), "Alarms", false));
        }
    };
    let model = |view: &mut View, model: &str, is_tab: bool| {
        view.trail = vec![("/models".to_owned(), "Models".to_owned())];
        if !matches!(place, ConsolePlace::Model(_)) {
            view.trail.push((
                ConsolePlace::Model(model.to_owned()).path(),
                model.to_owned(),
            ));
        }
        let own = || model.to_owned();
        let tabs = [
            (ConsolePlace::Model(own()), "Versions"),
            (ConsolePlace::Aliases(own()), "Aliases"),
            (ConsolePlace::Evaluations(own()), "Evaluations"),
            (ConsolePlace::Gates(own()), "Gates"),
            (ConsolePlace::Retrainings(own()), "Retrainings"),
        ];
        if is_tab {
            view.tabs = tabs
                .map(|(tab, name)| (tab.path(), name, tab == place))
                .into();
        }
    };
    match &place {
        ConsolePlace::Job(of)
        | ConsolePlace::Triggers(of)
        | ConsolePlace::Drift(of)
        | ConsolePlace::Comparisons(of)
        | ConsolePlace::Stream(of)
        | ConsolePlace::Entities(of) => job(view, of, true),
        ConsolePlace::Run(of, _) => job(view, of, false),
        ConsolePlace::DriftFeature(of, _) => {
            job(view, of, false);
            view.trail
                .push((ConsolePlace::Drift(of.clone()).path(), "Drift".to_owned()));
        }
        ConsolePlace::Entity(of, _) => {
            job(view, of, false);
            view.trail.push((
                ConsolePlace::Entities(of.clone()).path(),
                "One entity".to_owned(),
            ));
        }
        ConsolePlace::Model(of)
        | ConsolePlace::Aliases(of)
        | ConsolePlace::Evaluations(of)
        | ConsolePlace::Gates(of)
        | ConsolePlace::Retrainings(of) => model(view, of, true),
        ConsolePlace::Version(of, _) => model(view, of, false),
        ConsolePlace::Experiment(..) => {
            view.trail = vec![("/experiments".to_owned(), "Experiments".to_owned())];
        }
        ConsolePlace::Request(_) => {
            view.trail = vec![("/requests".to_owned(), "Requests".to_owned())]
        }
        _ => {}
    }
}

/// Returns the link to a form, if the viewer may take the action.
fn action_link(reader: &PageReader<'_>, place: ActPlace, name: &str) -> Option<(String, String)> {
    actions::check(reader.caller, &place).ok()?;
    Some((place.path(), name.to_owned()))
}

/// Returns the cell of a run, by its time.
fn run_cell(job: &str, run: Option<Uuid>, text: impl FnOnce(Uuid) -> TableCell) -> TableCell {
    TableCell::optional(run, |run| {
        TableCell::Link(
            ConsolePlace::Run(job.to_owned(), run).path(),
            Box::new(text(run)),
        )
    })
}

/// Returns the last digits of an id, which tell it from others on a page.
fn short(id: Uuid) -> TableCell {
    let text = id.to_string();
    TableCell::Code(text.get(..8).unwrap_or(&text).to_owned())
}

/// Renders versions as a list.
fn versions<'a>(versions: impl IntoIterator<Item = &'a i32>) -> String {
    let versions: Vec<String> = versions.into_iter().map(i32::to_string).collect();
    versions.join(", ")
}
