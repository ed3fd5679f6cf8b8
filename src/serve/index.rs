//! The models that requests name: their aliases and the versions that admission accepted.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{error::ApiError, models::LoadedModel, state::Serving};
use crate::{
    domain::{
        model::{ReadyVersion, alias::CHAMPION},
        names::nearest,
        problem::Problem,
    },
    failure::Failure,
    store::{Store, registry::admissions::Readiness},
};

/// A model as it was last read.
#[derive(Debug)]
pub struct KnownModel {
    pub name: String,
    pub aliases: BTreeMap<String, i32>,
    /// The versions that may score.
    pub ready: BTreeMap<i32, ReadyVersion>,
    read_at: Instant,
}

/// Age from which a model is read again when a request names a version that it did not have.
const AGAIN: Duration = Duration::from_secs(1);

impl KnownModel {
    async fn read(store: &Store, name: &str) -> Result<Option<Self>, Failure> {
        let mut ready = BTreeMap::new();
        let admissions = store.admissions(name).await?;
        for admission in &admissions {
            let readiness = store.readiness(name, admission.version).await?;
            if let Readiness::Ready(version) = readiness {
                ready.insert(version.version, *version);
            }
        }
        if admissions.is_empty() && store.versions(name).await?.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            aliases: store.aliases(name).await?.into_iter().collect(),
            name: name.to_owned(),
            ready,
            read_at: Instant::now(),
        }))
    }

    /// Returns the version that a caller names by number or alias; the champion if the caller names
    /// none.
    ///
    /// # Errors
    /// 404 with what there is.
    pub fn version(&self, wanted: Option<&str>) -> Result<&ReadyVersion, ApiError> {
        let word = wanted.unwrap_or(CHAMPION);
        let number = word
            .parse()
            .ok()
            .or_else(|| self.aliases.get(word).copied());
        number
            .and_then(|number| self.ready.get(&number))
            .ok_or_else(|| {
                let numbers = self.ready.keys().map(ToString::to_string);
                let known: Vec<_> = self.aliases.keys().cloned().chain(numbers).collect();
                ApiError::not_found(
                    Problem::new(
                        "model.unknown_version",
                        format!(
                            "model `{}` has no version `{word}` that is ready",
                            self.name
                        ),
                    )
                    .help(match known.is_empty() {
                        true => "no version of it was admitted yet".to_owned(),
                        false => format!("it has {}", known.join(", ")),
                    }),
                )
            })
    }
}

/// The models that requests have named so far.
#[derive(Debug, Default)]
pub struct Index(Mutex<HashMap<String, Arc<KnownModel>>>);

impl Index {
    /// Returns a model; reads it if it is named for the first time.
    ///
    /// # Errors
    /// 404 with the nearest name, or errors of Cassandra.
    pub async fn model(&self, store: &Store, name: &str) -> Result<Arc<KnownModel>, ApiError> {
        let known = self.lock().get(name).map(Arc::clone);
        if let Some(known) = known {
            return Ok(known);
        }
        // Boxed, since its future is large and that of each request contains it.
        Box::pin(self.read(store, name)).await
    }

    async fn read(&self, store: &Store, name: &str) -> Result<Arc<KnownModel>, ApiError> {
        let Some(read) = KnownModel::read(store, name).await? else {
            let models = store.models().await?;
            let near = nearest(name, models.iter().map(String::as_str));
            let problem = Problem::new("model.unknown", format!("there is no model `{name}`"));
            return Err(ApiError::not_found(match near {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help("`helenus model list` shows all"),
            }));
        };
        let read = Arc::new(read);
        self.lock().insert(name.to_owned(), Arc::clone(&read));
        Ok(read)
    }

    /// Lets the model be read again.
    fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Reads all known models again; those that cannot be read stay as they were.
    pub async fn refresh(&self, serving: &Serving) {
        let names: Vec<String> = self.lock().keys().cloned().collect();
        for name in names {
            match KnownModel::read(&serving.store, &name).await {
                Ok(Some(read)) => drop(self.lock().insert(name, Arc::new(read))),
                Ok(None) => drop(self.lock().remove(&name)),
                Err(error) => {
                    tracing::debug!(model = name, %error, "could not be read again");
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<KnownModel>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Serving {
    /// Returns a loaded version of a model; loads it if necessary.
    ///
    /// # Errors
    /// 404 for an unknown model or version, 503 if it cannot be loaded.
    pub async fn model(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<Arc<LoadedModel>, ApiError> {
        let mut known = self.index.model(&self.store, name).await?;
        if known.version(version).is_err() && known.read_at.elapsed() > AGAIN {
            // It may have been admitted since.
            self.index.forget(name);
            known = self.index.model(&self.store, name).await?;
        }
        Ok(self.models.get(known.version(version)?).await?)
    }
}
