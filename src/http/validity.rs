//! When a certificate ends: the one field of X.509 that helenus shows.

use chrono::{DateTime, NaiveDateTime, Utc};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Returns the end of a certificate's validity; `None` if `der` is not a certificate (RFC 5280).
pub fn not_after(der: &[u8]) -> Option<DateTime<Utc>> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = skip(fields)?;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        fields = skip(fields)?;
    }
    let (validity, _) = element(fields, SEQUENCE)?;
    time(skip(validity)?)
}

fn time(der: &[u8]) -> Option<DateTime<Utc>> {
    let tag = *der.first()?;
    let (text, _) = element(der, tag)?;
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        // Two digits of the year: those from 50 belong to the 20th century.
        UTC_TIME => match text.get(..2)?.parse::<u8>().ok()? {
            0..50 => format!("20{text}"),
            _ => format!("19{text}"),
        },
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%SZ").ok()?;
    Some(time.and_utc())
}

/// Returns the content of the first element, which must have this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // The length is in the next one to four bytes.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            let length = bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length))?
}

fn skip(der: &[u8]) -> Option<&[u8]> {
    element(der, *der.first()?).map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    use super::*;

    #[test]
    fn the_end_of_a_real_certificate_is_found_and_garbage_has_none() {
        let pem = include_bytes!("../../tests/tls/node.pem");
        let der = CertificateDer::from_pem_slice(pem).unwrap();
        let end = not_after(&der).unwrap();
        assert_eq!(end.to_rfc3339(), "2126-10-28T04:13:20+00:00");
        for length in 0..der.len().min(300) {
            // Must not panic.
            not_after(&der[..length]);
        }
        assert_eq!(not_after(b"not a certificate"), None);
    }

    #[test]
    fn both_forms_of_time_are_read() {
        let utc = b"\x17\x0d991231235959Z";
        assert_eq!(time(utc).unwrap().to_rfc3339(), "1999-12-31T23:59:59+00:00");
        let general = b"\x18\x0f20500101000000Z";
        let year = time(general).unwrap().to_rfc3339();
        assert_eq!(year, "2050-01-01T00:00:00+00:00");
    }
}
