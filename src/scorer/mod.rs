//! The only module that uses ONNX Runtime.
//!
//! `admit` admits a file in a separate process ([`child`]): `walk` reads the protobuf and rejects
//! what must never reach ONNX Runtime, `trial` tries the rest. [`session`] scores batches of
//! admitted models, [`pool`] does so on several threads, each optionally with a separate process
//! ([`isolate`]); [`preparers`] then prepares cells in further processes.

pub mod admit;
pub mod artifacts;
mod causes;
pub mod child;
mod class_names;
mod confined;
mod content;
mod error_text;
mod float_trees;
mod golden_check;
mod golden_verdict;
mod graph;
pub mod image;
mod index_limits;
pub mod isolate;
mod judge;
mod labels;
mod log;
mod neighbours;
mod onnx;
pub mod output_checks;
pub mod places;
pub mod pool;
pub mod preparers;
pub mod rows;
pub mod runtime;
pub mod session;
mod shapes;
mod signature;
mod subject;
mod tensors;
mod texts;
mod tokens;
mod trial;
mod walk;
mod widths;

pub(crate) use rows::select;
