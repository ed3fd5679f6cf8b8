//! ONNX Runtime: the only place that knows it.
//!
//! `admit` decides about a file, in a process of its own ([`child`]): `walk` reads the protobuf and
//! refuses what must never reach ONNX Runtime, `trial` tries what is left. [`session`] scores
//! batches of what was admitted, [`pool`] does so on several threads, each with a process of its
//! own where that is asked for ([`isolate`]).

pub mod admit;
pub mod child;
mod confined;
mod content;
mod golden_check;
mod graph;
pub mod image;
pub mod isolate;
mod judge;
mod onnx;
pub mod pool;
mod rows;
pub mod runtime;
pub mod session;
mod shapes;
mod signature;
mod tensors;
mod texts;
mod trial;
mod walk;
mod words;
