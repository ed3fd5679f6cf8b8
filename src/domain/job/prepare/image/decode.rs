//! Decodes a file, with limits on what it may cost.

use std::io::Cursor;

use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{Alpha, Channels, Format, ImageRule, jpeg, pixels::Pixels, word};

/// Bytes of memory that a decoder may take for each permitted pixel: RGBA, and as much again for
/// its own buffers.
const BYTES_PER_PIXEL: u64 = 8;

/// Returns the file's picture in the rule's channels (BGR as RGB).
///
/// # Errors
/// The reason, in words that end a sentence about the feature.
pub(super) fn decode(rule: &ImageRule, content: &[u8]) -> Result<Pixels, String> {
    let (format, mut decoder) = open(rule, content)?;
    if format == Format::Jpeg {
        jpeg::check(content)?;
    }
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > rule.max_pixels {
        return Err(format!(
            "the image has {width} x {height} pixels, which is more than max_pixels = {}",
            rule.max_pixels
        ));
    }
    let is_deep = !matches!(
        decoder.color_type(),
        ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8
    );
    if is_deep {
        return Err("the image has more than 8 bits a sample, which is not supported".to_owned());
    }
    let orientation = match rule.exif {
        true => Some(decoder.orientation().map_err(reason)?),
        false => None,
    };
    let mut image = DynamicImage::from_decoder(decoder).map_err(reason)?;
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    let image = without_alpha(image, rule.alpha)?;
    let (width, height) = (image.width(), image.height());
    let is_grey = matches!(image, DynamicImage::ImageLuma8(_));
    let samples = match (rule.channels, is_grey) {
        (Channels::Grey, true) => image.into_luma8().into_raw(),
        (Channels::Grey, false) => luma(image.into_rgb8().into_raw()),
        (Channels::Rgb | Channels::Bgr, _) => image.into_rgb8().into_raw(),
    };
    Ok(Pixels {
        width,
        height,
        channels: rule.channels.count(),
        samples,
    })
}

fn open(rule: &ImageRule, content: &[u8]) -> Result<(Format, impl ImageDecoder), String> {
    let listed = || {
        let names = rule.decode.iter().map(|format| word(&Format::ALL, format));
        names.collect::<Vec<_>>().join(", ")
    };
    let guessed = image::guess_format(content)
        .map_err(|_| format!("the content is not an image ({} is decoded)", listed()))?;
    let format = match guessed {
        ImageFormat::Jpeg => Some(Format::Jpeg),
        ImageFormat::Png => Some(Format::Png),
        ImageFormat::WebP => Some(Format::Webp),
        _ => None,
    };
    let Some(format) = format.filter(|format| rule.decode.contains(format)) else {
        return Err(format!(
            "the image is in the format {}, but decode lists only {}",
            guessed.extensions_str().first().unwrap_or(&"unknown"),
            listed()
        ));
    };
    let mut reader = ImageReader::with_format(Cursor::new(content), guessed);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(rule.max_pixels.saturating_mul(BYTES_PER_PIXEL));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(reason)?;
    Ok((format, decoder))
}

/// Returns the decoder's words on one line.
fn reason(error: image::ImageError) -> String {
    let text = error.to_string();
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ")
}

fn without_alpha(image: DynamicImage, alpha: Alpha) -> Result<DynamicImage, String> {
    if !image.color().has_alpha() || alpha == Alpha::Drop {
        return Ok(match image {
            DynamicImage::ImageLumaA8(_) => image.into_luma8().into(),
            other => other,
        });
    }
    let image = image.into_rgba8();
    let is_opaque = image.pixels().all(|pixel| pixel.0[3] == u8::MAX);
    let ground = match alpha {
        Alpha::Reject if !is_opaque => {
            return Err(
                "the image has transparent pixels (`alpha = \"white\"` would lay it over white)"
                    .to_owned(),
            );
        }
        Alpha::White => 255_u32,
        Alpha::Reject | Alpha::Black | Alpha::Drop => 0,
    };
    let (width, height) = image.dimensions();
    let (pixels, _) = image.as_raw().as_chunks::<4>();
    let samples: Vec<u8> = pixels
        .iter()
        .flat_map(|&[r, g, b, a]| {
            let a = u32::from(a);
            [r, g, b].map(|sample| ((u32::from(sample) * a + ground * (255 - a) + 127) / 255) as u8)
        })
        .collect();
    image::RgbImage::from_raw(width, height, samples)
        .map(DynamicImage::from)
        .ok_or_else(|| "the image could not be laid over a ground".to_owned())
}

/// Returns the brightness of RGB samples, as Pillow's `convert("L")` does.
fn luma(samples: Vec<u8>) -> Vec<u8> {
    let (pixels, _) = samples.as_chunks::<3>();
    pixels
        .iter()
        .map(|&[r, g, b]| {
            let [r, g, b] = [r, g, b].map(u32::from);
            ((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8
        })
        .collect()
}
