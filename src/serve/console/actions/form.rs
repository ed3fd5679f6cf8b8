//! Draws forms, and why what they ask for was not done.

use axum::{http::StatusCode, response::Response};
use maud::{Markup, html};

use super::{Act, Draft, MAX_WHY};
use crate::serve::console::{
    layout::{self, Viewer},
    place::{ActPlace, ConsolePlace},
    read::PageReader,
    session::{FormRefusal, Login},
};

pub(super) fn drawn(
    reader: &PageReader<'_>,
    login: &Login,
    place: &ActPlace,
    draft: Draft,
    problem: Option<&str>,
) -> Response {
    let token = match draft.blocked {
        None => Some(reader.console.sessions.give_form(login, draft.act.clone())),
        Some(_) => None,
    };
    let body = html! {
        div .act {
            h2 { "What will happen" }
            ul .what { @for line in &draft.what { li { bdi { (line) } } } }
            @if let Some(why) = &draft.blocked { p .problem { bdi { (why) } } }
            @if let Some(token) = &token { (fields(place, &draft, token, problem)) }
            p { a href=(draft.back.path()) { "Back, and change nothing" } }
        }
    };
    let status = match problem {
        None => StatusCode::OK,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let viewer = viewer(reader, login);
    layout::plain(
        status,
        &draft.title,
        Some(&draft.back),
        Some(&viewer),
        &body,
    )
}

fn fields(place: &ActPlace, draft: &Draft, token: &str, problem: Option<&str>) -> Markup {
    html! {
        form method="post" action=(place.path()) {
            input type="hidden" name="form" value=(token);
            // What a form without a reason is drawn again from; what is done is known here.
            @if let Act::Move { alias, version, .. } = &draft.act {
                input type="hidden" name="alias" value=(alias);
                @if let Some(version) = version { input type="hidden" name="version" value=(version); }
            }
            @if let Some((name, label, options)) = &draft.choice {
                div .field {
                    label for=(name) { (label) }
                    " "
                    select id=(name) name=(name) {
                        @for (value, label) in options { option value=(value) { (label) } }
                    }
                }
            }
            div .field {
                label for="why" { "Reason" }
                @if let Some(problem) = problem { p .problem role="alert" id="why-problem" { (problem) } }
                textarea id="why" name="why" rows="2" required maxlength=(MAX_WHY) autofocus
                    aria-describedby=[problem.map(|_| "why-problem")] aria-invalid=[problem.map(|_| "true")] {}
                p .note { "It is stored with your name, for those who come after you." }
            }
            p { button .main type="submit" { (draft.button) } }
        }
    }
}

/// Returns the page that leads to a form.
fn parent(place: &ActPlace) -> ConsolePlace {
    match place {
        ActPlace::Run(job) | ActPlace::Pause(job) | ActPlace::Resume(job) => {
            ConsolePlace::Job(job.clone())
        }
        ActPlace::Cancel(job, run) => ConsolePlace::Run(job.clone(), *run),
        ActPlace::Acknowledge(..) => ConsolePlace::Alarms,
        ActPlace::ResumeStream(job) => ConsolePlace::Stream(job.clone()),
        ActPlace::Promote(model) | ActPlace::Rollback(model) => ConsolePlace::Model(model.clone()),
        ActPlace::Approve(model, _) => ConsolePlace::Gates(model.clone()),
    }
}

pub(super) fn refused(
    reader: &PageReader<'_>,
    login: &Login,
    place: &ActPlace,
    refusal: &FormRefusal,
) -> Response {
    let body = match refusal {
        FormRefusal::Unknown => html! {
            p .problem { "This form is not of your session, or older than an hour. Nothing was changed." }
            p { a href=(parent(place).path()) { "Back to where the form came from" } }
        },
        FormRefusal::Sent(answer) => html! {
            p .problem { "This form was sent already. It was done once, and not again." }
            p { a href=(answer) { "What came of it" } }
        },
    };
    let viewer = viewer(reader, login);
    layout::plain(StatusCode::CONFLICT, "Not done", None, Some(&viewer), &body)
}

pub(super) fn moved(
    reader: &PageReader<'_>,
    login: &Login,
    again: &str,
    told: &[String],
) -> Response {
    let body = html! {
        p .problem { "Something has moved since you looked. Nothing was changed by you." }
        ul .what { @for line in told { li { bdi { (line) } } } }
        p { a href=(again) { "Look again" } }
    };
    let viewer = viewer(reader, login);
    layout::plain(StatusCode::CONFLICT, "Not done", None, Some(&viewer), &body)
}

fn viewer<'a>(reader: &PageReader<'a>, login: &Login) -> Viewer<'a> {
    Viewer {
        caller: reader.caller,
        logout: (!reader.console.tokens.accepts_anyone()).then(|| login.logout.clone()),
    }
}
