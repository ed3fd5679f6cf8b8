//! The style, the script and the icon: a URL names the content, so that it is kept for ever.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use xxhash_rust::xxh3::xxh3_64;

const STYLE: &str = concat!(
    include_str!("../../report/page.css"),
    include_str!("assets/console.css")
);
const SCRIPT: &str = include_str!("assets/console.js");
const ICON: &str = include_str!("assets/icon.svg");

struct Asset {
    name: String,
    content: &'static str,
    content_type: &'static str,
}

impl Asset {
    fn new(name: &str, end: &str, content: &'static str, content_type: &'static str) -> Self {
        Self {
            name: format!("{name}-{:016x}.{end}", xxh3_64(content.as_bytes())),
            content,
            content_type,
        }
    }

    fn path(&self) -> String {
        format!("/assets/{}", self.name)
    }
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        Asset::new("console", "css", STYLE, "text/css; charset=utf-8"),
        Asset::new("console", "js", SCRIPT, "text/javascript; charset=utf-8"),
        Asset::new("icon", "svg", ICON, "image/svg+xml"),
    ]
});

/// Returns the path of the style.
pub fn style() -> String {
    ASSETS[0].path()
}

/// Returns the path of the script.
pub fn script() -> String {
    ASSETS[1].path()
}

/// Returns the path of the icon.
pub fn icon() -> String {
    ASSETS[2].path()
}

/// Answers a request for an asset. They are the same for everyone, and tell nothing.
pub async fn answer(method: Method, Path(name): Path<String>) -> Response {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    let Some(asset) = found.filter(|_| method == Method::GET || method == Method::HEAD) else {
        return (StatusCode::NOT_FOUND, "there is no such file").into_response();
    };
    let mut response = asset.content.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_need_no_exception_of_the_policy() {
        for forbidden in ["eval(", "Function(", "style=", ".style.", "onclick="] {
            assert!(!SCRIPT.contains(forbidden), "{forbidden}");
        }
        assert!(!STYLE.contains("url("), "nothing is loaded by the style");
        assert!(SCRIPT.lines().count() <= 80);
    }
}
