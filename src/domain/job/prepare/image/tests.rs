use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use super::*;

/// 8 x 6 pixels, all different.
fn scene() -> RgbImage {
    RgbImage::from_fn(8, 6, |x, y| {
        Rgb([x as u8 * 30, y as u8 * 40, (x * y) as u8])
    })
}

fn file(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn rule() -> ImageRule {
    ImageRule {
        decode: vec![Format::Jpeg, Format::Png],
        exif: false,
        resize: None,
        crop: Some((6, 8)),
        channels: Channels::Rgb,
        layout: Layout::Nhwc,
        scale: 1.0,
        mean: vec![0.0; 3],
        std: vec![1.0; 3],
        alpha: Alpha::Reject,
        max_pixels: 1 << 16,
    }
}

fn prepared(rule: &ImageRule, content: &[u8]) -> Result<Vec<f32>, String> {
    let mut data = TensorData::Float(Vec::new());
    match rule.append(content, &mut data) {
        Ok(()) => match data {
            TensorData::Float(values) => Ok(values),
            other => panic!("{other:?}"),
        },
        Err(Fault::Unprepared(CODE, reason)) => Err(reason),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn layout_channels_and_normalisation_are_as_written() {
    let png = file(scene(), ImageFormat::Png);
    let plain = prepared(&rule(), &png).unwrap();
    let raw: Vec<f32> = scene().as_raw().iter().map(|v| f32::from(*v)).collect();
    assert_eq!(plain, raw);
    let planes = ImageRule {
        layout: Layout::Nchw,
        channels: Channels::Bgr,
        scale: 1.0 / 255.0,
        mean: vec![0.1, 0.2, 0.3],
        std: vec![0.5, 0.25, 2.0],
        ..rule()
    };
    let planes_of = prepared(&planes, &png).unwrap();
    assert_eq!(planes.dims(), Some([3, 6, 8]));
    for (pixel, rgb) in raw.as_chunks::<3>().0.iter().enumerate() {
        for (channel, sample) in rgb.iter().rev().enumerate() {
            let expected =
                (f64::from(*sample) / 255.0 - planes.mean[channel]) / planes.std[channel];
            let got = planes_of[channel * 48 + pixel];
            assert!(
                (f64::from(got) - expected).abs() < 1e-6,
                "{pixel} {channel}"
            );
        }
    }
    let grey = ImageRule {
        channels: Channels::Grey,
        mean: vec![0.0],
        std: vec![1.0],
        ..rule()
    };
    let values = prepared(&grey, &png).unwrap();
    // (90 * 299 + 80 * 587 + 6 * 114) / 1000 = 74.55
    assert_eq!((values.len(), values[2 * 8 + 3]), (48, 75.0));
    let from_grey = file(scene_grey(), ImageFormat::Png);
    let copied = prepared(&rule(), &from_grey).unwrap();
    assert!(
        copied
            .as_chunks::<3>()
            .0
            .iter()
            .all(|[r, g, b]| r == g && g == b)
    );
}

fn scene_grey() -> DynamicImage {
    DynamicImage::from(scene()).into_luma8().into()
}

#[test]
fn transparency_follows_its_rule() {
    let opaque = RgbaImage::from_pixel(8, 6, Rgba([10, 20, 30, 255]));
    let mut half = opaque.clone();
    half.put_pixel(0, 0, Rgba([10, 20, 30, 0]));
    let half = file(half, ImageFormat::Png);
    assert!(prepared(&rule(), &file(opaque, ImageFormat::Png)).is_ok());
    assert!(
        prepared(&rule(), &half)
            .unwrap_err()
            .contains("transparent")
    );
    for (alpha, first) in [
        (Alpha::White, [255.0; 3]),
        (Alpha::Black, [0.0; 3]),
        (Alpha::Drop, [10.0, 20.0, 30.0]),
    ] {
        let values = prepared(&ImageRule { alpha, ..rule() }, &half).unwrap();
        assert_eq!(
            (&values[..3], &values[3..6]),
            (&first[..], &[10.0, 20.0, 30.0][..])
        );
    }
}

#[test]
fn what_is_not_a_whole_image_of_a_listed_format_is_refused() {
    let reason = |content: &[u8]| prepared(&rule(), content).unwrap_err();
    let (png, jpeg) = (
        file(scene(), ImageFormat::Png),
        file(scene(), ImageFormat::Jpeg),
    );
    assert!(prepared(&rule(), &jpeg).is_ok());
    assert!(reason(b"hello").contains("not an image (jpeg, png is decoded)"));
    assert!(reason(&file(scene(), ImageFormat::WebP)).contains("format webp"));
    assert!(reason(b"GIF89a").contains("format gif"));
    for (content, kind) in [(&png, "png"), (&jpeg, "jpeg")] {
        for end in 0..content.len() - 1 {
            let cut = prepared(&rule(), &content[..end]);
            assert!(
                cut.is_err() || kind == "png" && end >= content.len() - 24,
                "{kind} {end}"
            );
        }
    }
    let large = ImageRule {
        max_pixels: 47,
        ..rule()
    };
    let reason_large = prepared(&large, &png).unwrap_err();
    assert!(reason_large.contains("8 x 6 pixels"), "{reason_large}");
    let deep = DynamicImage::from(scene()).into_rgb16();
    assert!(reason(&file(deep, ImageFormat::Png)).contains("8 bits"));
    let small = file(RgbImage::new(7, 6), ImageFormat::Png);
    assert!(reason(&small).contains("less than the crop"));
}

#[test]
fn a_header_that_promises_more_than_the_limit_costs_nothing() {
    let mut png = file(scene(), ImageFormat::Png);
    // Width and height of 60,000, with the checksum of the header made right.
    png[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let sum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&sum.to_be_bytes());
    let reason = prepared(&rule(), &png).unwrap_err();
    assert!(
        reason.contains("60000 x 60000") || reason.to_lowercase().contains("limit"),
        "{reason}"
    );
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

#[test]
fn the_orientation_turns_the_picture_only_if_it_is_wanted() {
    // "Exif", little-endian TIFF, one entry: orientation (0x112), short, 6: turn by 90 degrees.
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut image = RgbImage::new(8, 6);
    for y in 0..6 {
        for x in 0..8 {
            image.put_pixel(x, y, Rgb([if x < 4 { 0 } else { 250 }; 3]));
        }
    }
    let jpeg = file(image, ImageFormat::Jpeg);
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let turned = [
        &jpeg[..2],
        &[0xff, 0xe1],
        &length[..],
        &exif[..],
        &jpeg[2..],
    ]
    .concat();
    assert_eq!(prepared(&rule(), &turned), prepared(&rule(), &jpeg));
    let apply = ImageRule {
        exif: true,
        crop: Some((8, 6)),
        ..rule()
    };
    let values = prepared(&apply, &turned).unwrap();
    // What was on the left is now above.
    assert!(
        values[0] < 60.0 && values[8 * 6 * 3 - 1] > 190.0,
        "{values:?}"
    );
}

#[test]
fn every_option_is_in_the_fingerprint() {
    let changed = [
        ImageRule {
            exif: true,
            ..rule()
        },
        ImageRule {
            crop: Some((6, 7)),
            ..rule()
        },
        ImageRule {
            channels: Channels::Bgr,
            ..rule()
        },
        ImageRule {
            layout: Layout::Nchw,
            ..rule()
        },
        ImageRule {
            scale: 0.5,
            ..rule()
        },
        ImageRule {
            mean: vec![0.0, 0.0, 0.1],
            ..rule()
        },
        ImageRule {
            std: vec![1.0, 1.0, 2.0],
            ..rule()
        },
        ImageRule {
            alpha: Alpha::Drop,
            ..rule()
        },
        ImageRule {
            max_pixels: 7,
            ..rule()
        },
        ImageRule {
            decode: vec![Format::Png],
            ..rule()
        },
        ImageRule {
            resize: Some(Resize {
                to: ResizeTo::Short(9),
                filter: Filter::Box,
            }),
            ..rule()
        },
        ImageRule {
            resize: Some(Resize {
                to: ResizeTo::Short(9),
                filter: Filter::Bicubic,
            }),
            ..rule()
        },
        ImageRule {
            resize: Some(Resize {
                to: ResizeTo::Exact(9, 9),
                filter: Filter::Box,
            }),
            ..rule()
        },
        rule(),
    ];
    let texts: std::collections::HashSet<String> = changed
        .iter()
        .map(|rule| rule.fingerprint().to_string())
        .collect();
    assert_eq!(texts.len(), changed.len());
}

#[test]
fn a_header_says_format_and_size_without_a_decoder() {
    let rule = ImageRule {
        decode: vec![Format::Jpeg, Format::Png, Format::Webp],
        ..rule()
    };
    for (format, name, enough) in [
        (ImageFormat::Png, "png", 24),
        (ImageFormat::Jpeg, "jpeg", 400),
        (ImageFormat::WebP, "webp", 25),
    ] {
        let whole = file(scene(), format);
        let start = &whole[..enough.min(whole.len())];
        for content in [&whole[..], start] {
            assert_eq!(rule.header(content), Some((name, 8, 6)), "{name}");
        }
        for end in 0..24 {
            assert_eq!(rule.header(&whole[..end]), None, "{name}");
        }
    }
    let listed = ImageRule {
        decode: vec![Format::Png],
        ..rule.clone()
    };
    assert_eq!(listed.header(&file(scene(), ImageFormat::Jpeg)), None);
    let chunk =
        |kind: &[u8], data: &[u8]| [b"RIFF\0\0\0\0WEBP", kind, &[0, 0, 0, 0], data].concat();
    let lossy = chunk(
        b"VP8 ",
        &[0, 0, 0, 0x9d, 0x01, 0x2a, 0x2c, 0x41, 0xc8, 0x00],
    );
    assert_eq!(rule.header(&lossy), Some(("webp", 300, 200)));
    let extended = chunk(b"VP8X", &[0, 0, 0, 0, 0x2b, 0x01, 0, 0xc7, 0, 0]);
    assert_eq!(rule.header(&extended), Some(("webp", 300, 200)));
}
