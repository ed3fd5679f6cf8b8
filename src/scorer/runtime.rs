//! The ONNX Runtime library: finding it, loading it once, its version.

use std::{
    ffi::{CStr, c_char},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

use ort::{LoadDynamicError, environment::Environment, logging::LogLevel};

use super::log;
use crate::domain::problem::Problem;

const IN_PROJECT: &str = ".dev/onnxruntime/libonnxruntime.so";
const BY_LOADER: &str = "libonnxruntime.so";
pub(super) const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";
const HELP: &str = "run scripts/setup, or set HELENUS_ONNXRUNTIME to the library: `pip download onnxruntime==1.31.1 --no-deps`, \
                    then unzip the wheel: onnxruntime/capi/libonnxruntime.so.1.31.1";

/// The loaded library: one per process, for its whole life.
#[derive(Debug)]
pub struct Runtime {
    /// Its version, `1.31.1`.
    pub version: String,
    /// The file, or the name that the system's loader resolved.
    pub library: PathBuf,
    environment: Environment,
}

impl Runtime {
    /// Returns the environment of sessions.
    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Returns `1.31` of `1.31.1`: a worker with another one admits versions again.
    pub fn minor_version(&self) -> &str {
        minor_version(&self.version)
    }
}

/// Returns `1.31` of `1.31.1`.
pub fn minor_version(version: &str) -> &str {
    match version.match_indices('.').nth(1) {
        Some((end, _)) => &version[..end],
        None => version,
    }
}

/// Returns the library's location: `named` (flag or environment), else the project's
/// `.dev/onnxruntime/`, else beside the executable, else in the Python environment that the executable
/// is part of, else whatever the system's loader finds.
pub fn locate(named: Option<&Path>) -> PathBuf {
    // The loader would resolve a relative path against the executable first.
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match named {
        Some(path) if path.components().count() > 1 => absolute(path),
        Some(name) => name.to_owned(),
        None if Path::new(IN_PROJECT).exists() => absolute(Path::new(IN_PROJECT)),
        None => near_the_executable().unwrap_or_else(|| PathBuf::from(BY_LOADER)),
    }
}

fn near_the_executable() -> Option<PathBuf> {
    let executable = std::env::current_exe().ok()?;
    let folder = executable.parent()?;
    let beside = folder.join(BY_LOADER);
    if beside.exists() {
        return Some(beside);
    }
    in_python_environment(folder.parent()?)
}

/// Returns the library of the `onnxruntime` wheel under `lib/python3.*/site-packages` of a Python
/// environment: `pip install helenus` installs both there. The newest version, if there are several.
fn in_python_environment(root: &Path) -> Option<PathBuf> {
    let entries = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let pythons = entries(root.join("lib")).filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("python3")
    });
    pythons
        .flat_map(|python| {
            ["site-packages", "dist-packages"]
                .map(|packages| python.path().join(packages).join("onnxruntime/capi"))
        })
        .flat_map(entries)
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(BY_LOADER)?;
            let parts: Vec<u32> = version.split('.').flat_map(str::parse).collect();
            Some((parts, entry.path()))
        })
        .max()
        .map(|(_, path)| path)
}

/// Stops ONNX Runtime from writing usage data to ~/.cache and sending them, which its Linux builds
/// do since 1.29. Only this variable stops it entirely: by the time it is turned off through the
/// API, it has opened its database and sent its first event.
///
/// # Safety
/// As for [`std::env::set_var`]: no other thread may be running.
pub unsafe fn without_telemetry() {
    // SAFETY: guaranteed by the caller.
    unsafe { std::env::set_var(NO_TELEMETRY, "1") };
}

/// Loads the library, or returns the one that this process has already loaded.
///
/// # Errors
/// `runtime.telemetry` if [`without_telemetry`] was not called; `runtime.library` if the library is
/// missing, too old, or not ONNX Runtime.
pub fn load(named: Option<&Path>) -> Result<&'static Runtime, Problem> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    static LOADING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOADING
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    if std::env::var_os(NO_TELEMETRY).is_none_or(|value| value != "1") {
        return Err(Problem::new(
            "runtime.telemetry",
            "ONNX Runtime would send usage data to its vendor",
        )
        .help(format!("set {NO_TELEMETRY}=1 before the process starts")));
    }
    let library = locate(named);
    let environment = ort::init_from(&library)
        .map_err(|error| refused(&library, &error))?
        .with_name("helenus")
        .with_telemetry(false)
        .with_logger(Arc::new(log::log))
        .build()
        .map_err(|error| {
            Problem::new(
                "runtime.environment",
                format!("cannot start ONNX Runtime: {error}"),
            )
        })?;
    // Otherwise every session would format messages of every level and discard them.
    environment.set_log_level(LogLevel::Warning);
    let version = version(&library)?;
    Ok(RUNTIME.get_or_init(|| Runtime {
        version,
        library,
        environment,
    }))
}

/// Formats errors with their reason, which `ort`'s own texts omit.
fn refused(library: &Path, error: &LoadDynamicError) -> Problem {
    let at = library.display();
    let message = match error {
        LoadDynamicError::Dlopen { error, .. } => {
            format!(
                "cannot load the ONNX Runtime library from {at}: {}",
                reason(error)
            )
        }
        LoadDynamicError::MissingApi { .. } => {
            format!("{at} is a library, but not ONNX Runtime's")
        }
        LoadDynamicError::InvalidVersionString => {
            format!("{at} does not report its version of ONNX Runtime")
        }
        LoadDynamicError::BadVersion { version_str, .. } => format!(
            "{at} is ONNX Runtime {version_str}; helenus needs 1.{} or newer",
            ort::MINOR_VERSION
        ),
    };
    Problem::new("runtime.library", message).help(HELP)
}

fn reason(error: &libloading::Error) -> String {
    use std::error::Error;
    error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

/// Returns `OrtGetApiBase()->GetVersionString()`, which `ort` does not expose.
fn version(library: &Path) -> Result<String, Problem> {
    #[repr(C)]
    struct ApiBase {
        get_api: unsafe extern "C" fn(u32) -> *const std::ffi::c_void,
        get_version_string: unsafe extern "C" fn() -> *const c_char,
    }
    let missing = || {
        Problem::new(
            "runtime.library",
            format!("{} does not report its version", library.display()),
        )
        .help(HELP)
    };
    // SAFETY: the library is loaded and initialised already (`ort::init_from` succeeded), so opening
    // it again runs no code; the symbol and the layout are those of onnxruntime_c_api.h, stable
    // since version 1; both pointers are checked, and the string is static.
    unsafe {
        let library = libloading::Library::new(library).map_err(|_| missing())?;
        let base = library
            .get::<unsafe extern "C" fn() -> *const ApiBase>(b"OrtGetApiBase")
            .map_err(|_| missing())?();
        let text = base.as_ref().map(|base| (base.get_version_string)());
        match text.filter(|text| !text.is_null()) {
            Some(text) => Ok(CStr::from_ptr(text).to_string_lossy().into_owned()),
            None => Err(missing()),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn minor_versions_ignore_the_patch() {
        assert_eq!(super::minor_version("1.31.1"), "1.31");
        assert_eq!(super::minor_version("1.31"), "1.31");
    }

    #[test]
    fn the_newest_library_of_a_python_environment_is_found() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(super::in_python_environment(root.path()), None);
        for (python, library) in [
            ("python3.9/site-packages", "libonnxruntime.so.1.31.1"),
            ("python3.11/site-packages", "libonnxruntime.so.1.9.0"),
            (
                "python3/dist-packages",
                "libonnxruntime_providers_shared.so",
            ),
            ("perl5/site-packages", "libonnxruntime.so.9.0.0"),
        ] {
            let folder = root
                .path()
                .join("lib")
                .join(python)
                .join("onnxruntime/capi");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(library), "").unwrap();
        }
        let found = super::in_python_environment(root.path()).unwrap();
        assert!(found.ends_with("libonnxruntime.so.1.31.1"), "{found:?}");
    }
}
