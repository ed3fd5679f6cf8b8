//! Cases from public bug reports, as a new user would try them: `tests/cases/README.md` lists them.

mod accents;
mod double_export;
mod dynamic_quantisation;
mod exporters;
mod float_noise;
mod int8;
mod multi_output;
mod scaled_trees;
mod token_embedding;
mod vector_beside_scalars;
mod xgb_multioutput;
