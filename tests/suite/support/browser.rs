//! A page as a browser shows it: headless Chromium, where it is installed.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::cli::{Output, run};

/// Chromium: `HELENUS_TEST_CHROMIUM`, or what is on the path.
pub struct Browser {
    program: PathBuf,
    profile: tempfile::TempDir,
}

/// What a page has become.
#[derive(Debug)]
pub struct Shown {
    /// Requests that the page made.
    pub requests: Vec<String>,
    /// What stands on the console.
    pub console: Vec<String>,
    /// Of each picture: its id, its width and its height in pixels.
    pub pictures: Vec<(String, f64, f64)>,
    /// Width that the page takes, in pixels.
    pub width: f64,
    /// Whether a script of the page ran.
    pub scripted: bool,
}

impl Browser {
    /// `None`, said aloud, where there is none.
    pub fn find() -> Option<Self> {
        let named = std::env::var_os("HELENUS_TEST_CHROMIUM").filter(|name| !name.is_empty());
        let program = match named {
            Some(program) => PathBuf::from(program),
            None => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let mut places = std::env::split_paths(&path).map(|place| place.join("chromium"));
                let found = places.find(|place| place.is_file());
                let Some(found) = found else {
                    eprintln!("no chromium: pages are parsed, but not opened in a browser");
                    return None;
                };
                found
            }
        };
        let profile = tempfile::tempdir().unwrap();
        Some(Self { program, profile })
    }

    /// Runs Chromium without a window, without a way out.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
            ])
            .args(["--disable-dev-shm-usage", "--disable-background-networking"])
            .args([
                "--no-first-run",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args(["--proxy-server=127.0.0.1:9", "--enable-logging=stderr"])
            .args([
                "--allow-file-access-from-files",
                "--virtual-time-budget=5000",
            ])
            .arg(format!("--user-data-dir={}", self.profile.path().display()))
            .args(arguments)
            .stdin(Stdio::null());
        run(command)
    }

    /// Opens a page `width` pixels wide, in a frame of a page that measures it.
    pub fn open(&self, page: &Path, width: u32) -> Shown {
        let measure = format!(
            r#"<!doctype html><title>x</title><iframe id="f" width="{width}" height="900" src="file://{}"></iframe><pre id="told"></pre>
<script>document.getElementById('f').onload = function () {{
  const inside = this.contentWindow, page = inside.document;
  const pictures = [...page.querySelectorAll('figure > svg')].map(svg => {{
    const box = svg.getBoundingClientRect();
    return [svg.parentElement.id, box.width, box.height];
  }});
  document.getElementById('told').textContent = JSON.stringify({{
    requests: inside.performance.getEntriesByType('resource').map(entry => entry.name),
    pictures, width: page.documentElement.scrollWidth, scripted: 'scripted' in inside,
  }});
}}</script>"#,
            page.display()
        );
        let file = self.profile.path().join("measure.html");
        std::fs::write(&file, measure).unwrap();
        let said = self.run(&["--dump-dom", &format!("file://{}", file.display())]);
        let told = scraper::Html::parse_document(&said.stdout);
        let told = told
            .select(&scraper::Selector::parse("#told").unwrap())
            .next();
        let told: String = told.unwrap_or_else(|| panic!("{said:#?}")).text().collect();
        let told: Value =
            serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {said:#?}"));
        let number = |value: &Value| value.as_f64().unwrap();
        let pictures = told["pictures"].as_array().unwrap().iter();
        let requests = told["requests"].as_array().unwrap().iter();
        let console = said.stderr.lines().filter(|line| line.contains("CONSOLE"));
        Shown {
            requests: requests.map(Value::to_string).collect(),
            console: console.map(str::to_owned).collect(),
            pictures: pictures
                .map(|p| {
                    (
                        p[0].as_str().unwrap().to_owned(),
                        number(&p[1]),
                        number(&p[2]),
                    )
                })
                .collect(),
            width: number(&told["width"]),
            scripted: told["scripted"].as_bool().unwrap(),
        }
    }

    /// Prints a page; gives the PDF's bytes.
    pub fn print(&self, page: &Path) -> Vec<u8> {
        let pdf = self.profile.path().join("page.pdf");
        let option = format!("--print-to-pdf={}", pdf.display());
        let said = self.run(&[&option, &format!("file://{}", page.display())]);
        std::fs::read(&pdf).unwrap_or_else(|error| panic!("{error}: {said:#?}"))
    }
}
