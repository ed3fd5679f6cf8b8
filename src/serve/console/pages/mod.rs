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
mod triggers;
mod version;

use uuid::Uuid;

use super::{
    actions,
    handle::not_found,
    place::{ActPlace, Place},
    query::Query,
    read::Reader,
    table::Cell,
    view::View,
};
use crate::serve::{caller::Right, error::ApiError};

/// Reads what a place shows.
///
/// # Errors
/// 403, 404, and those of Cassandra.
pub async fn view(reader: &Reader<'_>, place: &Place, query: &Query) -> Result<View, ApiError> {
    let caller = reader.caller;
    let of_job = |job: &str| caller.check_job(Right::Read, job);
    let of_model = |model: &str| caller.check_model(Right::Read, model);
    let mut view = match place {
        Place::Jobs => Box::pin(jobs::view(reader)).await?,
        Place::Job(job) => {
            of_job(job)?;
            Box::pin(job::view(reader, job, query)).await?
        }
        Place::Triggers(job) => {
            of_job(job)?;
            Box::pin(triggers::view(reader, job)).await?
        }
        Place::Drift(job) => {
            of_job(job)?;
            Box::pin(drift::view(reader, job)).await?
        }
        Place::DriftFeature(job, feature) => {
            of_job(job)?;
            Box::pin(drift_feature::view(reader, job, feature, query)).await?
        }
        Place::Comparisons(job) => {
            of_job(job)?;
            Box::pin(comparisons::view(reader, job)).await?
        }
        Place::Entities(job) => {
            of_job(job)?;
            caller.check(Right::Score)?;
            entity::search(job, query)
        }
        Place::Entity(job, key) => {
            of_job(job)?;
            caller.check(Right::Score)?;
            Box::pin(entity::view(reader, job, key)).await?
        }
        Place::Run(job, run) => {
            of_job(job)?;
            Box::pin(run::view(reader, job, *run)).await?
        }
        Place::Models => Box::pin(models::view(reader)).await?,
        Place::Model(model) => {
            of_model(model)?;
            Box::pin(model::view(reader, model)).await?
        }
        Place::Version(model, version) => {
            of_model(model)?;
            Box::pin(version::view(reader, model, *version)).await?
        }
        Place::Aliases(model) => {
            of_model(model)?;
            Box::pin(aliases::view(reader, model)).await?
        }
        Place::Evaluations(model) => {
            of_model(model)?;
            Box::pin(evaluations::view(reader, model, query)).await?
        }
        Place::Gates(model) => {
            of_model(model)?;
            Box::pin(gates::view(reader, model)).await?
        }
        Place::Retrainings(model) => {
            of_model(model)?;
            Box::pin(retrainings::view(reader, model)).await?
        }
        Place::Experiments => Box::pin(experiments::view(reader)).await?,
        Place::Experiment(job, name) => {
            of_job(job)?;
            Box::pin(experiment::view(reader, job, name)).await?
        }
        Place::Alarms => Box::pin(alarms::view(reader, query)).await?,
        Place::Requests => Box::pin(requests::view(reader, query)).await?,
        Place::Request(id) => Box::pin(request::view(reader, *id)).await?,
        Place::Act(_) => return Err(not_found("forms are not views")),
    };
    frame(&mut view);
    Ok(view)
}

/// Adds the trail and the tabs of a page.
fn frame(view: &mut View) {
    let place = view.place.clone();
    let job = |view: &mut View, job: &str, is_tab: bool| {
        view.trail = vec![("/".to_owned(), "Jobs".to_owned())];
        if !matches!(place, Place::Job(_)) {
            view.trail
                .push((Place::Job(job.to_owned()).path(), job.to_owned()));
        }
        let own = || job.to_owned();
        let tabs = [
            (Place::Job(own()), "Runs"),
            (Place::Triggers(own()), "Triggers"),
            (Place::Drift(own()), "Drift"),
            (Place::Comparisons(own()), "Comparisons"),
            (Place::Entities(own()), "One entity"),
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
        if !matches!(place, Place::Model(_)) {
            view.trail
                .push((Place::Model(model.to_owned()).path(), model.to_owned()));
        }
        let own = || model.to_owned();
        let tabs = [
            (Place::Model(own()), "Versions"),
            (Place::Aliases(own()), "Aliases"),
            (Place::Evaluations(own()), "Evaluations"),
            (Place::Gates(own()), "Gates"),
            (Place::Retrainings(own()), "Retrainings"),
        ];
        if is_tab {
            view.tabs = tabs
                .map(|(tab, name)| (tab.path(), name, tab == place))
                .into();
        }
    };
    match &place {
        Place::Job(of)
        | Place::Triggers(of)
        | Place::Drift(of)
        | Place::Comparisons(of)
        | Place::Entities(of) => job(view, of, true),
        Place::Run(of, _) => job(view, of, false),
        Place::DriftFeature(of, _) => {
            job(view, of, false);
            view.trail
                .push((Place::Drift(of.clone()).path(), "Drift".to_owned()));
        }
        Place::Entity(of, _) => {
            job(view, of, false);
            view.trail
                .push((Place::Entities(of.clone()).path(), "One entity".to_owned()));
        }
        Place::Model(of)
        | Place::Aliases(of)
        | Place::Evaluations(of)
        | Place::Gates(of)
        | Place::Retrainings(of) => model(view, of, true),
        Place::Version(of, _) => model(view, of, false),
        Place::Experiment(..) => {
            view.trail = vec![("/experiments".to_owned(), "Experiments".to_owned())];
        }
        Place::Request(_) => view.trail = vec![("/requests".to_owned(), "Requests".to_owned())],
        _ => {}
    }
}

/// Returns the link to a form, if the viewer may take the action.
fn act(reader: &Reader<'_>, place: ActPlace, name: &str) -> Option<(String, String)> {
    actions::check(reader.caller, &place).ok()?;
    Some((place.path(), name.to_owned()))
}

/// Returns the cell of a run, by its time.
fn run_cell(job: &str, run: Option<Uuid>, text: impl FnOnce(Uuid) -> Cell) -> Cell {
    Cell::of(run, |run| {
        Cell::Link(Place::Run(job.to_owned(), run).path(), Box::new(text(run)))
    })
}

/// Returns the last digits of an id, which tell it from others on a page.
fn short(id: Uuid) -> Cell {
    let text = id.to_string();
    Cell::Code(text.get(..8).unwrap_or(&text).to_owned())
}

/// Renders versions as a list.
fn versions<'a>(versions: impl IntoIterator<Item = &'a i32>) -> String {
    let versions: Vec<String> = versions.into_iter().map(i32::to_string).collect();
    versions.join(", ")
}
