//! Encodes small internal blobs (plans, mergeable statistics, samples) that users never read.

use serde::{Serialize, de::DeserializeOwned};

const CONFIG: bincode::config::Configuration = bincode::config::standard();

/// Encodes a value. The values are helenus's own plain structs, which always serialise.
pub fn encode(value: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, CONFIG).unwrap_or_default()
}

/// Decodes bytes.
///
/// # Errors
/// What is wrong with bytes that [`encode`] did not write.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match bincode::serde::decode_from_slice(bytes, CONFIG) {
        Ok((value, read)) if read == bytes.len() => Ok(value),
        Ok(_) => Err("bytes are left over".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
