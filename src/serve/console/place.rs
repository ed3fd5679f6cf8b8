//! What a URL names.

use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::query::path;

/// A page, or the form of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsolePlace {
    Jobs,
    Job(String),
    Triggers(String),
    Drift(String),
    DriftFeature(String, String),
    Comparisons(String),
    Entities(String),
    Entity(String, String),
    Run(String, Uuid),
    Stream(String),
    Streams,
    Workers,
    Models,
    Model(String),
    Version(String, i32),
    Aliases(String),
    Evaluations(String),
    Gates(String),
    Retrainings(String),
    Experiments,
    Experiment(String, String),
    Alarms,
    Requests,
    Request(Uuid),
    Act(ActPlace),
}

/// The form of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActPlace {
    Run(String),
    Cancel(String, Uuid),
    Pause(String),
    Resume(String),
    Promote(String),
    Rollback(String),
    Approve(String, String),
    Acknowledge(String, Uuid),
    ResumeStream(String),
}

/// How a page is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Html,
    Json,
    Csv,
}

impl ConsolePlace {
    /// Returns what a path names, and in which form; `None`: nothing.
    pub fn parse(path: &str) -> Option<(Self, Form)> {
        let path = path.strip_prefix('/')?;
        let (path, form) = match path {
            "" => return Some((Self::Jobs, Form::Html)),
            path => match (path.strip_suffix(".json"), path.strip_suffix(".csv")) {
                (Some(path), _) => (path, Form::Json),
                (_, Some(path)) => (path, Form::Csv),
                _ => (path, Form::Html),
            },
        };
        let segments = path
            .split('/')
            .map(segment)
            .collect::<Option<Vec<String>>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let place = Self::from_segments(&segments)?;
        let is_page = !matches!(place, Self::Act(_));
        (is_page || form == Form::Html).then_some((place, form))
    }

    fn from_segments(segments: &[&str]) -> Option<Self> {
        let own = |name: &&str| (*name).to_owned();
        Some(match segments {
            ["index"] => Self::Jobs,
            ["jobs", job] => Self::Job(own(job)),
            ["jobs", job, "triggers"] => Self::Triggers(own(job)),
            ["jobs", job, "drift"] => Self::Drift(own(job)),
            ["jobs", job, "drift", feature] => Self::DriftFeature(own(job), own(feature)),
            ["jobs", job, "comparisons"] => Self::Comparisons(own(job)),
            ["jobs", job, "entities"] => Self::Entities(own(job)),
            ["jobs", job, "entities", key] => Self::Entity(own(job), own(key)),
            ["jobs", job, "runs", run] => Self::Run(own(job), id(run)?),
            ["jobs", job, "stream"] => Self::Stream(own(job)),
            ["jobs", job, "stream", "resume"] => Self::Act(ActPlace::ResumeStream(own(job))),
            ["streams"] => Self::Streams,
            ["workers"] => Self::Workers,
            ["jobs", job, "run"] => Self::Act(ActPlace::Run(own(job))),
            ["jobs", job, "pause"] => Self::Act(ActPlace::Pause(own(job))),
            ["jobs", job, "resume"] => Self::Act(ActPlace::Resume(own(job))),
            ["jobs", job, "runs", run, "cancel"] => Self::Act(ActPlace::Cancel(own(job), id(run)?)),
            ["jobs", job, "alarms", alarm, "acknowledge"] => {
                Self::Act(ActPlace::Acknowledge(own(job), id(alarm)?))
            }
            ["models"] => Self::Models,
            ["models", model] => Self::Model(own(model)),
            ["models", model, "versions", version] => {
                Self::Version(own(model), version.parse().ok()?)
            }
            ["models", model, "aliases"] => Self::Aliases(own(model)),
            ["models", model, "evaluations"] => Self::Evaluations(own(model)),
            ["models", model, "gates"] => Self::Gates(own(model)),
            ["models", model, "retrainings"] => Self::Retrainings(own(model)),
            ["models", model, "promote"] => Self::Act(ActPlace::Promote(own(model))),
            ["models", model, "rollback"] => Self::Act(ActPlace::Rollback(own(model))),
            ["models", model, "gates", gate, "approve"] => {
                Self::Act(ActPlace::Approve(own(model), own(gate)))
            }
            ["experiments"] => Self::Experiments,
            ["experiments", job, name] => Self::Experiment(own(job), own(name)),
            ["alarms"] => Self::Alarms,
            ["requests"] => Self::Requests,
            ["requests", request] => Self::Request(id(request)?),
            _ => return None,
        })
    }

    /// Returns the path of the page.
    pub fn path(&self) -> String {
        match self {
            Self::Jobs => path(&[]),
            Self::Job(job) => path(&["jobs", job]),
            Self::Triggers(job) => path(&["jobs", job, "triggers"]),
            Self::Drift(job) => path(&["jobs", job, "drift"]),
            Self::DriftFeature(job, feature) => path(&["jobs", job, "drift", feature]),
            Self::Comparisons(job) => path(&["jobs", job, "comparisons"]),
            Self::Entities(job) => path(&["jobs", job, "entities"]),
            Self::Entity(job, key) => path(&["jobs", job, "entities", key]),
            Self::Run(job, run) => path(&["jobs", job, "runs", &run.to_string()]),
            Self::Stream(job) => path(&["jobs", job, "stream"]),
            Self::Streams => path(&["streams"]),
            Self::Workers => path(&["workers"]),
            Self::Models => path(&["models"]),
            Self::Model(model) => path(&["models", model]),
            Self::Version(model, version) => {
                path(&["models", model, "versions", &version.to_string()])
            }
            Self::Aliases(model) => path(&["models", model, "aliases"]),
            Self::Evaluations(model) => path(&["models", model, "evaluations"]),
            Self::Gates(model) => path(&["models", model, "gates"]),
            Self::Retrainings(model) => path(&["models", model, "retrainings"]),
            Self::Experiments => path(&["experiments"]),
            Self::Experiment(job, name) => path(&["experiments", job, name]),
            Self::Alarms => path(&["alarms"]),
            Self::Requests => path(&["requests"]),
            Self::Request(id) => path(&["requests", &id.to_string()]),
            Self::Act(act) => act.path(),
        }
    }

    /// Returns the path of the page in another form.
    pub fn path_as(&self, form: Form) -> String {
        let page = match self {
            Self::Jobs => "/index".to_owned(),
            _ => self.path(),
        };
        match form {
            Form::Html => self.path(),
            Form::Json => format!("{page}.json"),
            Form::Csv => format!("{page}.csv"),
        }
    }
}

impl ActPlace {
    /// Returns the path of the form.
    pub fn path(&self) -> String {
        match self {
            Self::Run(job) => path(&["jobs", job, "run"]),
            Self::Pause(job) => path(&["jobs", job, "pause"]),
            Self::Resume(job) => path(&["jobs", job, "resume"]),
            Self::Cancel(job, run) => path(&["jobs", job, "runs", &run.to_string(), "cancel"]),
            Self::Acknowledge(job, id) => {
                path(&["jobs", job, "alarms", &id.to_string(), "acknowledge"])
            }
            Self::ResumeStream(job) => path(&["jobs", job, "stream", "resume"]),
            Self::Promote(model) => path(&["models", model, "promote"]),
            Self::Rollback(model) => path(&["models", model, "rollback"]),
            Self::Approve(model, gate) => path(&["models", model, "gates", gate, "approve"]),
        }
    }
}

/// Decodes a segment; `None`: it is not a name. A control character, or a segment that an
/// intermediary could take for a parent, is in no name.
fn segment(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    let is_parent = decoded == "." || decoded == "..";
    let is_name = !decoded.is_empty() && !is_parent && !decoded.contains(char::is_control);
    is_name.then(|| decoded.into_owned())
}

fn id(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text)
        .ok()
        .filter(|id| id.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_place_and_a_place_its_path() {
        let run = Uuid::from_u128(7);
        let places = [
            ConsolePlace::Jobs,
            ConsolePlace::Job("t\u{e9} <b>".to_owned()),
            ConsolePlace::Entity("t".to_owned(), "a/b,id=7.json".to_owned()),
            ConsolePlace::Run("t".to_owned(), run),
            ConsolePlace::Version("m".to_owned(), 3),
            ConsolePlace::Experiment("j".to_owned(), "e".to_owned()),
            ConsolePlace::Stream("j".to_owned()),
            ConsolePlace::Act(ActPlace::ResumeStream("j".to_owned())),
            ConsolePlace::Act(ActPlace::Approve("m".to_owned(), "g".to_owned())),
        ];
        for place in places {
            let path = place.path();
            assert_eq!(
                ConsolePlace::parse(&path),
                Some((place, Form::Html)),
                "{path}"
            );
        }
        assert_eq!(
            ConsolePlace::parse("/index.csv"),
            Some((ConsolePlace::Jobs, Form::Csv))
        );
    }

    #[test]
    fn tricks_name_nothing() {
        for path in [
            "",
            "//",
            "/jobs/",
            "/jobs//x",
            "/jobs/..",
            "/jobs/%2e%2e",
            "/jobs/%00",
            "/jobs/%ff",
            "/jobs/x/runs/1",
            "/jobs/x/run.json",
            "/../jobs",
            "//jobs",
            "/models/m/versions/x",
            "/jobs/x/runs/{00000000-0000-0000-0000-000000000007}",
        ] {
            assert_eq!(ConsolePlace::parse(path), None, "{path}");
        }
    }
}
