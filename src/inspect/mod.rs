//! Reads only: what is registered, passes over predictions, checks of the database, and one entity
//! at a time.

pub mod alarms;
pub mod catalog;
pub mod compare;
pub mod doctor;
pub mod drift;
pub mod evaluate;
pub mod experiment;
pub mod explain;
pub mod export;
pub mod folder;
pub mod mlflow;
pub mod pass;
pub mod similar;
pub mod status;
pub mod streams;
pub mod training;
pub mod verify;
