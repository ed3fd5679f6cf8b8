//! Reads a folder from disk, and tells all its mistakes at once.

mod versions;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{
    domain::{
        folder::{DesiredJob, DesiredState, files},
        names::nearest,
        problem::Problem,
    },
    engine::jobs::read_manifest,
    failure::Failure,
};

/// The files beside `models/` and `jobs/`.
const FILES: [&str; 5] = [
    "aliases.toml",
    "experiments.toml",
    "gates.toml",
    "roles.toml",
    "triggers.toml",
];

/// What a folder declares.
#[derive(Debug, Default)]
pub struct Folder {
    pub desired: DesiredState,
    /// sha256 over the names and the content of all files that it uses, in hex.
    pub digest: String,
}

/// Reads a folder.
///
/// # Errors
/// Exit 2: all mistakes of all files.
pub fn read(folder: &Path) -> Result<Folder, Failure> {
    let unreadable = |error: std::io::Error| Failure::input(not_readable(folder, &error));
    let root = fs::canonicalize(folder).map_err(unreadable)?;
    let mut reader = FolderReader {
        root,
        desired: DesiredState::default(),
        hashes: BTreeMap::new(),
        problems: Vec::new(),
    };
    reader.top().map_err(unreadable)?;
    reader.models();
    reader.jobs();
    if !reader.problems.is_empty() {
        return Err(Failure::inputs(reader.problems));
    }
    let mut digest = Sha256::new();
    for (name, sha256) in &reader.hashes {
        digest.update(format!("{name}\0{sha256}\n"));
    }
    Ok(Folder {
        desired: reader.desired,
        digest: hex::encode(digest.finalize()),
    })
}

fn not_readable(path: &Path, error: &dyn std::fmt::Display) -> Problem {
    Problem::new("folder.unreadable", format!("cannot be read: {error}"))
        .at(path.display().to_string())
}

struct FolderReader {
    root: PathBuf,
    desired: DesiredState,
    /// File → sha256 of its content, in hex.
    hashes: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl FolderReader {
    /// Returns a path as people write it: within the folder.
    fn name(&self, path: &Path) -> String {
        let inner = path.strip_prefix(&self.root).unwrap_or(path);
        inner.display().to_string()
    }

    fn add(&mut self, file: &str, problems: Vec<Problem>) {
        self.problems.extend(problems.into_iter().map(|problem| {
            let place = match &problem.place {
                Some(place) if place.starts_with(file) => place.clone(),
                Some(place) => format!("{file}: {place}"),
                None => file.to_owned(),
            };
            problem.at(place)
        }));
    }

    /// Adds the problems of a reader of files, whose places are whole paths.
    fn add_failure(&mut self, file: &str, failure: Failure) {
        let root = format!("{}/", self.root.display());
        let shorter = failure.problems.into_iter().map(|mut problem| {
            problem.place = problem.place.map(|place| place.replace(&root, ""));
            problem.message = problem.message.replace(&root, "");
            problem
        });
        let problems = shorter.collect();
        self.add(file, problems);
    }

    fn text(&mut self, path: &Path) -> Option<String> {
        let name = self.name(path);
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.problems.push(not_readable(Path::new(&name), &error));
                return None;
            }
        };
        self.hashes
            .insert(name.clone(), hex::encode(Sha256::digest(&bytes)));
        let text = String::from_utf8(bytes);
        text.map_err(|_| {
            let problem = Problem::new("folder.unreadable", "the file is not UTF-8 text");
            self.problems.push(problem.at(name));
        })
        .ok()
    }

    fn top(&mut self) -> std::io::Result<()> {
        let mut names: Vec<String> = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        for name in names {
            let path = self.root.join(&name);
            match name.as_str() {
                "aliases.toml" => {
                    let rows = self.rows(&name, files::aliases);
                    self.desired.aliases = rows;
                }
                "experiments.toml" => {
                    let rows = self.rows(&name, files::experiments);
                    self.desired.experiments = rows;
                }
                "gates.toml" => {
                    let rows = self.rows(&name, files::gates);
                    self.desired.gates = rows;
                }
                "roles.toml" => {
                    let rows = self.rows(&name, files::roles);
                    self.desired.roles = rows;
                }
                "triggers.toml" => {
                    let rows = self.rows(&name, files::triggers);
                    self.desired.triggers = rows;
                }
                other if other.ends_with(".toml") && path.is_file() => {
                    // Such as trigger.toml, which would silently do nothing.
                    let known = FILES.join(", ");
                    let help = nearest(other, FILES.into_iter()).map_or_else(
                        || format!("the files here are {known}; manifests are in jobs/"),
                        |near| format!("did you mean `{near}`?"),
                    );
                    let problem = Problem::new("folder.unknown_file", "unknown file");
                    self.problems.push(problem.at(other).help(help));
                }
                _ => {}
            }
        }
        if !["models", "jobs"]
            .iter()
            .any(|name| self.root.join(name).is_dir())
            && self.hashes.is_empty()
            && self.problems.is_empty()
        {
            let problem = Problem::new("folder.empty", "the folder declares nothing");
            let help =
                "it needs models/NAME/model.toml, jobs/NAME.toml or the files of docs/git.md";
            self.problems.push(problem.help(help));
        }
        Ok(())
    }

    fn rows<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<Vec<T>, Vec<Problem>>,
    ) -> Vec<T> {
        let path = self.root.join(name);
        let Some(text) = self.text(&path) else {
            return Vec::new();
        };
        read(&text).unwrap_or_else(|problems| {
            self.add(name, problems);
            Vec::new()
        })
    }

    /// Returns the entries of a directory by name; none if it does not exist.
    fn entries(&mut self, path: &Path) -> Vec<(String, PathBuf)> {
        if !path.exists() {
            return Vec::new();
        }
        let listed = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let listed = listed.unwrap_or_else(|error| {
            let name = self.name(path);
            self.problems.push(not_readable(Path::new(&name), &error));
            Vec::new()
        });
        let mut entries: Vec<_> = listed
            .into_iter()
            .map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, entry.path())
            })
            .filter(|(name, _)| !name.starts_with('.'))
            .collect();
        entries.sort();
        entries
    }

    /// Returns a file that another one names, which must be within the folder.
    fn beside(&mut self, directory: &Path, place: &str, key: &str, name: &str) -> Option<PathBuf> {
        let path = directory.join(name);
        let at = format!("{place}: {key}");
        match fs::canonicalize(&path) {
            Ok(real) if real.starts_with(&self.root) && real.is_file() => Some(real),
            Ok(_) => {
                let message = format!("`{name}` is not a file within the folder");
                let help = "copy it there; only `path`, which goes with sha256, may be elsewhere";
                let problem = Problem::new("folder.outside", message);
                self.problems.push(problem.at(at).help(help));
                None
            }
            Err(error) => {
                let message = format!("`{name}` cannot be read: {error}");
                let problem = Problem::new("folder.unreadable", message);
                self.problems.push(problem.at(at));
                None
            }
        }
    }

    fn jobs(&mut self) {
        for (name, path) in self.entries(&self.root.join("jobs")) {
            if !name.ends_with(".toml") {
                continue;
            }
            let place = self.name(&path);
            self.text(&path);
            match read_manifest(&path) {
                Err(failure) => self.add_failure(&place, failure),
                Ok((text, manifest)) => {
                    let expect = manifest.expect.as_ref();
                    if let Some(file) = expect.and_then(|expect| expect.file.clone()) {
                        let directory = path.parent().unwrap_or(&self.root).to_owned();
                        self.beside(&directory, &place, "expect.file", &file);
                    }
                    let same = |job: &&DesiredJob| job.manifest.job == manifest.job;
                    if let Some(other) = self.desired.jobs.iter().find(same) {
                        let message = format!("job `{}` is also in {}", manifest.job, other.place);
                        let problem = Problem::new("folder.twice", message).at(place);
                        self.problems.push(problem.help("keep one of them"));
                        continue;
                    }
                    let sha256 = hex::encode(Sha256::digest(text.as_bytes()));
                    self.hashes.insert(place.clone(), sha256);
                    self.desired.jobs.push(DesiredJob {
                        place,
                        text,
                        manifest,
                    });
                }
            }
        }
    }
}
