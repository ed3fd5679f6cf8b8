//! Resizes images of 8 bits a sample.
//!
//! A crate of its own for the sake of builds that are not optimised, as for tests: the library's code
//! is generic and would be compiled into helenus, where one image of 12 million pixels takes seconds.
//! This crate is optimised in all profiles, as helenus's dependencies are.

use std::fmt::Display;

pub use fast_image_resize::{FilterType, ResizeAlg};
use fast_image_resize::{PixelType, ResizeOptions, Resizer, images::Image};

/// Returns the samples of a picture of `to` pixels, row by row.
///
/// `samples` are those of a picture of `from` pixels, with 1 or 3 `channels`; sizes are width and
/// height.
///
/// # Errors
/// The reason, in words that end a sentence about the image: sizes that do not fit the samples, or
/// that are 0.
pub fn resize(
    samples: Vec<u8>,
    channels: usize,
    from: (u32, u32),
    to: (u32, u32),
    algorithm: ResizeAlg,
) -> Result<Vec<u8>, String> {
    let kind = match channels {
        1 => PixelType::U8,
        _ => PixelType::U8x3,
    };
    let words = |error: &dyn Display| format!("the image cannot be resized: {error}");
    let source =
        Image::from_vec_u8(from.0, from.1, samples, kind).map_err(|error| words(&error))?;
    let mut resized = Image::new(to.0, to.1, kind);
    let options = ResizeOptions::new().resize_alg(algorithm).use_alpha(false);
    Resizer::new()
        .resize(&source, &mut resized, &options)
        .map_err(|error| words(&error))?;
    Ok(resized.into_vec())
}
