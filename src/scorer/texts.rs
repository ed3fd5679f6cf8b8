//! Reads texts from ONNX Runtime's tensors without an allocation per value.

use ort::{AsPointer, ortsys, value::DynValue};

use crate::domain::model::texts::Texts;

/// Appends the first `take` of `len` texts of a text tensor.
///
/// # Errors
/// ONNX Runtime's; text that is not UTF-8.
pub(super) fn read_texts(
    value: &DynValue,
    len: usize,
    take: usize,
    texts: &mut Texts,
) -> ort::Result<()> {
    let tensor = value.ptr();
    let mut length = 0;
    // SAFETY: the value is alive, and the caller has checked that it is a text tensor of `len`
    // elements; ONNX Runtime refuses others.
    ortsys![unsafe GetStringTensorDataLength(tensor, &mut length)?];
    let mut bytes = vec![0_u8; length];
    let mut starts = vec![0; len];
    // SAFETY: as above; both buffers have the given sizes.
    ortsys![unsafe GetStringTensorContent(tensor, bytes.as_mut_ptr().cast(), length, starts.as_mut_ptr(), len)?];
    for at in 0..take.min(len) {
        let end = starts.get(at + 1).copied().unwrap_or(length);
        let text = bytes.get(starts[at]..end).unwrap_or_default();
        texts.push(std::str::from_utf8(text).map_err(ort::Error::wrap)?);
    }
    Ok(())
}
