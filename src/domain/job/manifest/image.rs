//! `as = "image"` in the manifest.

use serde::Deserialize;

use super::{Feature, problems::Problems};
use crate::domain::job::{
    PreparationKind,
    prepare::image::{Alpha, Channels, Filter, Format, ImageRule, Layout, Resize, ResizeTo},
};

/// Longest side that can be asked for.
const MAX_SIDE: u32 = 4096;
/// Default for `max_pixels`: a camera's 32 million.
const DEFAULT_MAX_PIXELS: u64 = 1 << 25;
/// Limit on `max_pixels`: an image takes up to 8 bytes of memory for each.
const MOST_PIXELS: u64 = 1 << 28;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawImage {
    pub column: String,
    /// `"image"`, or this type would not be read.
    #[serde(rename = "as")]
    _kind: String,
    pub decode: Option<Vec<String>>,
    pub exif: Option<String>,
    pub resize: Option<RawResize>,
    pub crop: Option<RawSize>,
    pub channels: Option<String>,
    pub layout: Option<String>,
    pub scale: Option<RawScale>,
    pub mean: Option<RawPerChannel>,
    pub std: Option<RawPerChannel>,
    pub alpha: Option<String>,
    pub cmyk: Option<String>,
    pub max_pixels: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawResize {
    pub short: Option<u32>,
    pub exact: Option<RawSize>,
    pub filter: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "a size is 224, or [height, width]")]
pub(super) enum RawSize {
    Square(u32),
    Sides(u32, u32),
}

impl RawSize {
    fn sides(self) -> (u32, u32) {
        match self {
            Self::Square(side) => (side, side),
            Self::Sides(height, width) => (height, width),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "`scale` is a number, or a fraction such as \"1/255\""
)]
pub(super) enum RawScale {
    Number(f64),
    Fraction(String),
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "`mean` and `std` are a number, or a list of one for each channel"
)]
pub(super) enum RawPerChannel {
    Same(f64),
    Each(Vec<f64>),
}

pub(super) fn check_image(place: &str, raw: RawImage, p: &mut Problems) -> Feature {
    let at = |word: &str| format!("{place}.{word}");
    let word = |name: &str, given: Option<&String>, usual: &'static str| {
        (at(name), given.cloned().unwrap_or_else(|| usual.to_owned()))
    };
    let exif = word("exif", raw.exif.as_ref(), "ignore");
    let channels = word("channels", raw.channels.as_ref(), "rgb");
    let layout = word("layout", raw.layout.as_ref(), "nchw");
    let alpha = word("alpha", raw.alpha.as_ref(), "reject");
    let cmyk = word("cmyk", raw.cmyk.as_ref(), "reject");
    let exif = p.word(&exif.0, &exif.1, &[("ignore", false), ("apply", true)]);
    let channels = p.word(&channels.0, &channels.1, &Channels::ALL);
    let layout = p.word(&layout.0, &layout.1, &Layout::ALL);
    let alpha = p.word(&alpha.0, &alpha.1, &Alpha::ALL);
    p.word(&cmyk.0, &cmyk.1, &[("reject", ())]);
    let decode = raw
        .decode
        .unwrap_or_else(|| vec!["jpeg".into(), "png".into()]);
    if decode.is_empty() {
        p.report(
            &at("decode"),
            "no format is named",
            "write decode = [\"jpeg\", \"png\"]",
        );
    }
    let decode = decode
        .iter()
        .map(|format| p.word(&at("decode"), format, &Format::ALL))
        .collect();
    let max_pixels = raw.max_pixels.unwrap_or(DEFAULT_MAX_PIXELS);
    if max_pixels == 0 || max_pixels > MOST_PIXELS {
        p.report(
            &at("max_pixels"),
            format!("`max_pixels` is not between 1 and {MOST_PIXELS}"),
            "write the pixels of the largest image that is to be decoded",
        );
    }
    let rule = ImageRule {
        decode,
        exif,
        resize: check_resize(&at("resize"), raw.resize, p),
        crop: raw.crop.map(|crop| check_size(&at("crop"), crop, p)),
        channels,
        layout,
        scale: check_scale(&at("scale"), raw.scale, p),
        mean: per_channel(&at("mean"), raw.mean, 0.0, channels, p),
        std: per_channel(&at("std"), raw.std, 1.0, channels, p),
        alpha,
        max_pixels,
    };
    if rule.std.contains(&0.0) {
        p.report(
            &at("std"),
            "`std` must not be 0: the samples are divided by it",
            "write the deviations that the model was trained with",
        );
    }
    if rule.size().is_none() {
        p.report(
            place,
            "the size that the model takes is not given",
            "write crop = 224, or resize = { exact = [224, 224] }",
        );
    }
    Feature {
        column: raw.column,
        prepared: Some(PreparationKind::Image(rule)),
        ..Feature::default()
    }
}

fn check_resize(place: &str, raw: Option<RawResize>, p: &mut Problems) -> Option<Resize> {
    let raw = raw?;
    let filter = raw.filter.as_deref().unwrap_or("bilinear");
    let filter = p.word(&format!("{place}.filter"), filter, &Filter::ALL);
    let to = match (raw.short, raw.exact) {
        (Some(side), None) => {
            let (side, _) = check_size(place, RawSize::Square(side), p);
            ResizeTo::Short(side)
        }
        (None, Some(size)) => {
            let (height, width) = check_size(place, size, p);
            ResizeTo::Exact(height, width)
        }
        _ => {
            p.report(
                place,
                "`resize` needs either `short` or `exact`",
                "write resize = { short = 256 }, or resize = { exact = [224, 224] }",
            );
            return None;
        }
    };
    Some(Resize { to, filter })
}

fn check_size(place: &str, size: RawSize, p: &mut Problems) -> (u32, u32) {
    let (height, width) = size.sides();
    if [height, width]
        .iter()
        .any(|side| !(1..=MAX_SIDE).contains(side))
    {
        p.report(
            place,
            format!("a side is not between 1 and {MAX_SIDE} pixels"),
            "write the size that the model was trained on",
        );
    }
    (height, width)
}

fn check_scale(place: &str, raw: Option<RawScale>, p: &mut Problems) -> f64 {
    let scale = match raw {
        None => return 1.0,
        Some(RawScale::Number(number)) => number,
        Some(RawScale::Fraction(text)) => fraction(&text).unwrap_or(f64::NAN),
    };
    if !scale.is_finite() || scale == 0.0 {
        p.report(
            place,
            "`scale` is not a number other than 0",
            "write scale = \"1/255\", or remove it for samples of 0 to 255",
        );
    }
    scale
}

fn fraction(text: &str) -> Option<f64> {
    match text.split_once('/') {
        Some((above, below)) => {
            let number = |part: &str| part.trim().parse::<f64>().ok();
            Some(number(above)? / number(below)?)
        }
        None => text.trim().parse().ok(),
    }
}

fn per_channel(
    place: &str,
    raw: Option<RawPerChannel>,
    usual: f64,
    channels: Channels,
    p: &mut Problems,
) -> Vec<f64> {
    let count = channels.count();
    let numbers = match raw {
        None => vec![usual; count],
        Some(RawPerChannel::Same(number)) => vec![number; count],
        Some(RawPerChannel::Each(numbers)) => numbers,
    };
    if numbers.len() != count || !numbers.iter().all(|number| number.is_finite()) {
        p.report(
            place,
            format!("{count} numbers are needed, one for each channel"),
            "write one number for all channels, or a list in the order of `channels`",
        );
    }
    numbers
}
