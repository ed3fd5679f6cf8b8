//! `as = "image"`: a file of an image becomes numbers, as in the model's training.
//!
//! The steps are those of torchvision and Pillow: decode, turn by the EXIF orientation if wanted,
//! resize with antialiasing, cut out the centre, scale and normalise. Decoded pixels differ from
//! libjpeg's by at most a few grey levels, resized ones from Pillow's by about one.

mod decode;
mod header;
mod jpeg;
mod pixels;

use std::panic::{AssertUnwindSafe, catch_unwind};

use half::f16;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::pixels::Pixels;
use crate::domain::{job::cast::Fault, model::tensor::TensorData};

/// Code of a rejection by [`ImageRule::append`].
pub const CODE: &str = "image";

/// The options of `as = "image"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageRule {
    /// Formats that are decoded; a file of another one rejects its row.
    pub decode: Vec<Format>,
    /// Whether the picture is turned as its EXIF orientation says.
    pub exif: bool,
    pub resize: Option<Resize>,
    /// Height and width of the centre that is cut out.
    pub crop: Option<(u32, u32)>,
    pub channels: Channels,
    pub layout: Layout,
    /// Factor of a sample of 0 to 255, before `mean` and `std`.
    pub scale: f64,
    /// Subtracted from the scaled samples of each channel, in the order of `channels`.
    pub mean: Vec<f64>,
    /// Divides the differences.
    pub std: Vec<f64>,
    pub alpha: Alpha,
    /// Largest number of pixels of the file, and of the resized picture.
    pub max_pixels: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    Jpeg,
    Png,
    Webp,
}

impl Format {
    pub const ALL: [(&str, Self); 3] = [
        ("jpeg", Self::Jpeg),
        ("png", Self::Png),
        ("webp", Self::Webp),
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    pub to: ResizeTo,
    pub filter: Filter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResizeTo {
    /// The shorter side has this length; the longer one is rounded down, as torchvision does.
    Short(u32),
    /// Height and width.
    Exact(u32, u32),
}

/// Filters with the names of Pillow; all but `Nearest` are antialiased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    Nearest,
    Box,
    Bilinear,
    Hamming,
    Bicubic,
    Lanczos,
}

impl Filter {
    pub const ALL: [(&str, Self); 6] = [
        ("bilinear", Self::Bilinear),
        ("bicubic", Self::Bicubic),
        ("lanczos3", Self::Lanczos),
        ("nearest", Self::Nearest),
        ("box", Self::Box),
        ("hamming", Self::Hamming),
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channels {
    Rgb,
    Bgr,
    Grey,
}

impl Channels {
    pub const ALL: [(&str, Self); 3] =
        [("rgb", Self::Rgb), ("bgr", Self::Bgr), ("grey", Self::Grey)];

    pub fn count(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Grey => 1,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    Nchw,
    Nhwc,
}

impl Layout {
    pub const ALL: [(&str, Self); 2] = [("nchw", Self::Nchw), ("nhwc", Self::Nhwc)];
}

/// What is done with pixels that are not opaque.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Alpha {
    /// The row is rejected.
    Reject,
    /// The picture is laid over white.
    White,
    /// The picture is laid over black.
    Black,
    /// Transparency is ignored, as Pillow's `convert("RGB")` does.
    Drop,
}

impl Alpha {
    pub const ALL: [(&str, Self); 4] = [
        ("reject", Self::Reject),
        ("white", Self::White),
        ("black", Self::Black),
        ("drop", Self::Drop),
    ];
}

/// Returns a keyword's spelling in the manifest.
fn word<T: PartialEq>(words: &[(&'static str, T)], meaning: &T) -> &'static str {
    let named = words.iter().find(|(_, known)| known == meaning);
    named.map_or("", |(word, _)| word)
}

impl ImageRule {
    /// Returns the height and width of what the model is given.
    pub fn size(&self) -> Option<(u32, u32)> {
        match (self.crop, self.resize.map(|resize| resize.to)) {
            (Some(size), _) => Some(size),
            (None, Some(ResizeTo::Exact(height, width))) => Some((height, width)),
            (None, _) => None,
        }
    }

    /// Returns the dimensions of one row.
    pub fn dims(&self) -> Option<[usize; 3]> {
        let (height, width) = self.size()?;
        let (channels, height, width) = (self.channels.count(), height as usize, width as usize);
        Some(match self.layout {
            Layout::Nchw => [channels, height, width],
            Layout::Nhwc => [height, width, channels],
        })
    }

    /// Appends the numbers of one image.
    ///
    /// # Errors
    /// [`Fault::Unprepared`] with the decoder's reason; [`Fault::Unsupported`] if `data` does not
    /// hold floating-point numbers, which compilation excludes.
    pub fn append(&self, content: &[u8], data: &mut TensorData) -> Result<(), Fault> {
        // Decoders read what strangers wrote: a defect in one must not stop the run.
        let pixels = catch_unwind(AssertUnwindSafe(|| self.pixels(content)))
            .unwrap_or_else(|_| Err("the decoder failed: the file is malformed".to_owned()))
            .map_err(|reason| Fault::Unprepared(CODE, reason))?;
        let values = self.values(&pixels);
        match data {
            TensorData::Float(data) => data.extend(values.map(|value| value as f32)),
            TensorData::Double(data) => data.extend(values),
            TensorData::Float16(data) => data.extend(values.map(f16::from_f64)),
            _ => return Err(Fault::Unsupported),
        }
        Ok(())
    }

    /// Returns format, width and height of a file, from its header; `None` if it is not an image of
    /// a listed format.
    pub fn header(&self, content: &[u8]) -> Option<(&'static str, u32, u32)> {
        let (format, width, height) = header::read(content)?;
        let is_listed = self.decode.contains(&format);
        is_listed.then(|| (word(&Format::ALL, &format), width, height))
    }

    /// Returns the pixels that the model is given, before they are scaled.
    fn pixels(&self, content: &[u8]) -> Result<Pixels, String> {
        let mut pixels = decode::decode(self, content)?;
        if let Some(resize) = self.resize {
            pixels = pixels.resized(resize, self.max_pixels)?;
        }
        match self.crop {
            Some((height, width)) => pixels.centre(height, width),
            None => Ok(pixels),
        }
    }

    /// Returns the numbers of the pixels, in the order of the layout.
    fn values(&self, pixels: &Pixels) -> impl Iterator<Item = f64> {
        let channels = self.channels.count();
        let tables: Vec<Vec<f64>> = (0..channels)
            .map(|channel| {
                let normalised = |sample| {
                    (f64::from(sample) * self.scale - self.mean[channel]) / self.std[channel]
                };
                (0..=u8::MAX).map(normalised).collect()
            })
            .collect();
        let reversed = self.channels == Channels::Bgr;
        let area = pixels.area();
        let layout = self.layout;
        (0..area * channels).map(move |at| {
            let (channel, pixel) = match layout {
                Layout::Nchw => (at / area, at % area),
                Layout::Nhwc => (at % channels, at / channels),
            };
            let source = match reversed {
                true => channels - 1 - channel,
                false => channel,
            };
            tables[channel][usize::from(pixels.samples[pixel * channels + source])]
        })
    }

    pub(super) fn fingerprint(&self) -> Value {
        let bits = |numbers: &[f64]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
        json!([
            "image",
            self.decode
                .iter()
                .map(|format| word(&Format::ALL, format))
                .collect::<Vec<_>>(),
            self.exif,
            self.resize.map(|resize| {
                let to = match resize.to {
                    ResizeTo::Short(side) => json!([side]),
                    ResizeTo::Exact(height, width) => json!([height, width]),
                };
                json!([to, word(&Filter::ALL, &resize.filter)])
            }),
            self.crop,
            word(&Channels::ALL, &self.channels),
            word(&Layout::ALL, &self.layout),
            // By their bits: the text of a float also depends on the library.
            self.scale.to_bits(),
            bits(&self.mean),
            bits(&self.std),
            word(&Alpha::ALL, &self.alpha),
            self.max_pixels,
        ])
    }

    pub(super) fn describe(&self) -> String {
        let formats: Vec<_> = self
            .decode
            .iter()
            .map(|format| word(&Format::ALL, format))
            .collect();
        let mut parts = vec![format!("as = image, decode = {}", formats.join(" "))];
        if self.exif {
            parts.push("exif = apply".to_owned());
        }
        if let Some(resize) = self.resize {
            let to = match resize.to {
                ResizeTo::Short(side) => format!("short {side}"),
                ResizeTo::Exact(height, width) => format!("{height} x {width}"),
            };
            parts.push(format!(
                "resize = {to} {}",
                word(&Filter::ALL, &resize.filter)
            ));
        }
        if let Some((height, width)) = self.crop {
            parts.push(format!("crop = {height} x {width}"));
        }
        parts.push(format!(
            "channels = {}, layout = {}, scale = {:.6}, mean = {:?}, std = {:?}, alpha = {}",
            word(&Channels::ALL, &self.channels),
            word(&Layout::ALL, &self.layout),
            self.scale,
            self.mean,
            self.std,
            word(&Alpha::ALL, &self.alpha),
        ));
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests;
