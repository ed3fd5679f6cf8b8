//! Format and size of an image, without a decoder: profiles and explanations measure every file,
//! also those that are never decoded, in the process that is connected to Cassandra.

use super::{Format, jpeg};

/// Returns format, width and height as the file's header says; `None` if it is not an image, or
/// ends before it says so.
pub(super) fn read(content: &[u8]) -> Option<(Format, u32, u32)> {
    let found = if content.starts_with(b"\x89PNG\r\n\x1a\n") {
        let (width, height) = (be32(content, 16)?, be32(content, 20)?);
        (Format::Png, width, height)
    } else if content.starts_with(&[0xff, 0xd8, 0xff]) {
        let (width, height) = jpeg::size(content)?;
        (Format::Jpeg, width.into(), height.into())
    } else if content.starts_with(b"RIFF") && content.get(8..12) == Some(b"WEBP") {
        let (width, height) = webp(content.get(12..)?)?;
        (Format::Webp, width, height)
    } else {
        return None;
    };
    (found.1 > 0 && found.2 > 0).then_some(found)
}

/// Returns the size that the first chunk of a WebP file says (RFC 9649).
fn webp(chunk: &[u8]) -> Option<(u32, u32)> {
    let (kind, data) = (chunk.get(..4)?, chunk.get(8..)?);
    match kind {
        // Extended: flags, three reserved bytes, then both sizes minus one, of 24 bits.
        b"VP8X" => Some((1 + le24(data, 4)?, 1 + le24(data, 7)?)),
        // Lossless: a signature, then both sizes minus one, of 14 bits.
        b"VP8L" if data.first() == Some(&0x2f) => {
            let bits = u32::from_le_bytes(data.get(1..5)?.try_into().ok()?);
            Some((1 + (bits & 0x3fff), 1 + ((bits >> 14) & 0x3fff)))
        }
        // Lossy: a frame's tag, a start code, then both sizes of 14 bits, each with two of scale.
        b"VP8 " if data.get(3..6) == Some(&[0x9d, 0x01, 0x2a]) => {
            let side = |at| Some(le16(data, at)? & 0x3fff);
            Some((side(6)?, side(8)?))
        }
        _ => None,
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(four))
}

fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    match bytes.get(at..at + 3)? {
        &[a, b, c] => Some(u32::from_le_bytes([a, b, c, 0])),
        _ => None,
    }
}

fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    let two = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_le_bytes(two).into())
}
