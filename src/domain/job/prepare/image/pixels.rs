//! Pixels of 8 bits a sample: resized and cut as Pillow and torchvision do.

use helenus_resize::{FilterType, ResizeAlg, resize};

use super::{Filter, Resize, ResizeTo};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pixels {
    pub width: u32,
    pub height: u32,
    /// Samples of each pixel: 1 or 3.
    pub channels: usize,
    pub samples: Vec<u8>,
}

impl Pixels {
    pub fn area(&self) -> usize {
        self.width as usize * self.height as usize
    }

    pub fn resized(self, resize: Resize, max_pixels: u64) -> Result<Self, String> {
        let (height, width) = target(resize.to, self.height, self.width);
        if (width, height) == (u64::from(self.width), u64::from(self.height)) {
            return Ok(self);
        }
        // Of the two passes, too: a high, narrow image would be wide in between.
        let highest = height.max(u64::from(self.height));
        if width * highest > max_pixels {
            return Err(format!(
                "the image would be resized to {width} x {highest} pixels, \
                 which is more than max_pixels = {max_pixels}"
            ));
        }
        let side = |side: u64| {
            u32::try_from(side).map_err(|error| format!("the image cannot be resized: {error}"))
        };
        let (width, height) = (side(width)?, side(height)?);
        // Rows first and rounded between the two passes, as Pillow before 13.0: the library would begin
        // with columns, and differ where a filter overshoots at a sharp corner. Pillow 13.0 begins with
        // columns if the height shrinks by more than twice as many pixels as the width.
        let own_height = self.height;
        let rows = self.pass(width, own_height, resize.filter)?;
        rows.pass(width, height, resize.filter)
    }

    /// Resizes in one direction.
    fn pass(self, width: u32, height: u32, filter: Filter) -> Result<Self, String> {
        if (width, height) == (self.width, self.height) {
            return Ok(self);
        }
        let (from, to) = ((self.width, self.height), (width, height));
        let samples = resize(&self.samples, self.channels, from, to, algorithm(filter))?;
        Ok(Self {
            width,
            height,
            channels: self.channels,
            samples,
        })
    }

    /// Cuts out the centre, which lies where torchvision's `CenterCrop` puts it.
    pub fn centre(self, height: u32, width: u32) -> Result<Self, String> {
        if height > self.height || width > self.width {
            return Err(format!(
                "the image has {} x {} pixels, which is less than the crop of {width} x {height}",
                self.width, self.height
            ));
        }
        let top = half_to_even(self.height - height) as usize;
        let left = half_to_even(self.width - width) as usize;
        let stride = self.width as usize * self.channels;
        let (from, length) = (left * self.channels, width as usize * self.channels);
        let rows = self.samples.chunks_exact(stride).skip(top);
        let rows = rows.take(height as usize);
        Ok(Self {
            width,
            height,
            channels: self.channels,
            samples: rows
                .flat_map(|row| &row[from..from + length])
                .copied()
                .collect(),
        })
    }
}

/// Returns height and width.
fn target(to: ResizeTo, height: u32, width: u32) -> (u64, u64) {
    match to {
        ResizeTo::Exact(height, width) => (height.into(), width.into()),
        ResizeTo::Short(side) => {
            let side = u64::from(side);
            let (height, width) = (u64::from(height), u64::from(width));
            match height <= width {
                true => (side, side * width / height.max(1)),
                false => (side * height / width.max(1), side),
            }
        }
    }
}

/// Returns half of a number; of two halves the even one, as Python's `round` does.
fn half_to_even(number: u32) -> u32 {
    let half = number / 2;
    half + u32::from(number % 2 == 1 && half % 2 == 1)
}

fn algorithm(filter: Filter) -> ResizeAlg {
    ResizeAlg::Convolution(match filter {
        Filter::Nearest => return ResizeAlg::Nearest,
        Filter::Box => FilterType::Box,
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Hamming => FilterType::Hamming,
        Filter::Bicubic => FilterType::CatmullRom,
        Filter::Lanczos => FilterType::Lanczos3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_crops_are_those_of_torchvision() {
        assert_eq!(target(ResizeTo::Short(256), 427, 640), (256, 383));
        assert_eq!(target(ResizeTo::Short(256), 1100, 800), (352, 256));
        assert_eq!(target(ResizeTo::Exact(3, 5), 1100, 800), (3, 5));
        assert_eq!([0, 1, 2, 3, 5, 7].map(half_to_even), [0, 0, 1, 2, 2, 4]);
        let pixels = Pixels {
            width: 4,
            height: 3,
            channels: 1,
            samples: (0..12).collect(),
        };
        let centre = pixels.clone().centre(1, 2).unwrap();
        assert_eq!(centre.samples, [5, 6]);
        assert!(
            pixels
                .centre(4, 2)
                .unwrap_err()
                .contains("less than the crop")
        );
    }

    #[test]
    fn a_long_thin_image_is_not_blown_up() {
        let thin = Pixels {
            width: 60_000,
            height: 1,
            channels: 1,
            samples: vec![0; 60_000],
        };
        let resize = Resize {
            to: ResizeTo::Short(256),
            filter: Filter::Bilinear,
        };
        let reason = thin.resized(resize, 1 << 25).unwrap_err();
        assert!(reason.contains("15360000 x 256"), "{reason}");
    }
}
