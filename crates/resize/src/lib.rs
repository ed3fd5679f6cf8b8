//! Resizes images of 8 bits a sample.
//!
//! A crate of its own for the sake of builds that are not optimised, as for tests: the library's code
//! is generic and would be compiled into helenus, where one image of 12 million pixels takes seconds.
//! This crate is optimised in all profiles, as helenus's dependencies are.

use std::fmt::Display;

pub use fast_image_resize::{FilterType, ResizeAlg};
use fast_image_resize::{
    PixelTrait, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::{U8, U8x3},
};

/// Returns the samples of a picture of `to` pixels, row by row.
///
/// `samples` are those of a picture of `from` pixels, with 1 or 3 `channels`; sizes are width and
/// height.
///
/// # Errors
/// The reason, in words that end a sentence about the image: other channels, or too few samples.
pub fn resize(
    samples: &[u8],
    channels: usize,
    from: (u32, u32),
    to: (u32, u32),
    algorithm: ResizeAlg,
) -> Result<Vec<u8>, String> {
    // Not by the library's `resize`, which is compiled for all thirteen kinds of pixels.
    match channels {
        1 => typed::<U8>(samples, from, to, algorithm),
        3 => typed::<U8x3>(samples, from, to, algorithm),
        _ => Err(words(&format!("{channels} channels are not supported"))),
    }
}

fn typed<P: PixelTrait>(
    samples: &[u8],
    from: (u32, u32),
    to: (u32, u32),
    algorithm: ResizeAlg,
) -> Result<Vec<u8>, String> {
    let source = TypedImageRef::<P>::from_buffer(from.0, from.1, samples);
    let source = source.map_err(|error| words(&error))?;
    let mut resized = vec![0; to.0 as usize * to.1 as usize * P::size()];
    let target = TypedImage::<P>::from_buffer(to.0, to.1, &mut resized);
    let mut target = target.map_err(|error| words(&error))?;
    let options = ResizeOptions::new().resize_alg(algorithm).use_alpha(false);
    Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .map_err(|error| words(&error))?;
    drop(target);
    Ok(resized)
}

fn words(error: &dyn Display) -> String {
    format!("the image cannot be resized: {error}")
}
