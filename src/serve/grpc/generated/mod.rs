//! The code that `scripts/generate-grpc` makes from `proto/open_inference_grpc.proto`.

#![allow(clippy::all, missing_docs)]

include!("messages.rs");
include!("service.rs");

/// The descriptors, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("inference.bin");
