//! What the JPEG decoder does not refuse by itself: files that end early, and colours of print; and
//! the size that a file says it has.

/// Checks that a JPEG file is whole and has one or three components.
///
/// # Errors
/// The reason, in words that end a sentence about the feature.
pub(super) fn check(content: &[u8]) -> Result<(), String> {
    let mut rest = content.get(2..).unwrap_or_default();
    while let Some((marker, after)) = next_marker(rest) {
        match marker {
            END_OF_IMAGE => return Ok(()),
            // Without a segment; restarts lie within a scan.
            0x01 | 0xd0..=0xd8 => rest = after,
            _ => {
                let Some((segment, after)) = segment(after) else {
                    break;
                };
                if is_frame(marker) && segment.get(5) == Some(&4) {
                    return Err(
                        "the image has four components (CMYK), which is not supported".to_owned(),
                    );
                }
                rest = after;
            }
        }
    }
    Err("the JPEG file is truncated: it has no end".to_owned())
}

/// Returns width and height as the first frame says.
pub(super) fn size(content: &[u8]) -> Option<(u16, u16)> {
    let mut rest = content.get(2..)?;
    loop {
        let (marker, after) = next_marker(rest)?;
        match marker {
            END_OF_IMAGE => return None,
            0x01 | 0xd0..=0xd8 => rest = after,
            _ => {
                let (segment, after) = segment(after)?;
                if is_frame(marker) {
                    let (height, width) = segment.get(1..5)?.split_at(2);
                    let number = |two: &[u8]| Some(u16::from_be_bytes(two.try_into().ok()?));
                    return Some((number(width)?, number(height)?));
                }
                rest = after;
            }
        }
    }
}

const END_OF_IMAGE: u8 = 0xd9;

/// Whether a marker begins a frame, whose segment names its components.
fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

/// Returns the next marker and what follows it. Skips the samples of a scan, where 0xff is followed
/// by 0, and filling bytes.
fn next_marker(mut bytes: &[u8]) -> Option<(u8, &[u8])> {
    loop {
        let at = bytes.iter().position(|byte| *byte == 0xff)?;
        bytes = &bytes[at + 1..];
        match bytes.split_first()? {
            (0, after) => bytes = after,
            (0xff, _) => {}
            (marker, after) => return Some((*marker, after)),
        }
    }
}

/// Returns the content of a segment, after its length, and what follows.
fn segment(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, _) = bytes.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (segment, after) = bytes.split_at_checked(length.max(2))?;
    Some((&segment[2..], after))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &[u8] = &[0xff, 0xd8];
    const SCAN: &[u8] = &[0xff, 0xda, 0, 3, 9, 1, 0xff, 0, 2, 0xff, 0xd0, 3];

    fn frame(components: u8) -> Vec<u8> {
        vec![0xff, 0xc0, 0, 8, 8, 0, 1, 0, 1, components]
    }

    #[test]
    fn a_file_is_whole_when_its_end_follows_its_scans() {
        let whole = [START, &frame(3), SCAN, &[0xff, 0xff, 0xd9, 7]].concat();
        assert_eq!(check(&whole), Ok(()));
        for end in 0..whole.len() - 2 {
            assert!(check(&whole[..end]).is_err(), "{end}");
        }
        // An end inside of a segment, such as that of a thumbnail, is not the file's.
        let thumbnail = [START, &[0xff, 0xe1, 0, 4, 0xff, 0xd9], &frame(1), SCAN].concat();
        assert!(check(&thumbnail).is_err());
    }

    #[test]
    fn four_components_are_refused() {
        let cmyk = [START, &frame(4), SCAN, &[0xff, 0xd9]].concat();
        assert!(check(&cmyk).unwrap_err().contains("CMYK"));
    }
}
