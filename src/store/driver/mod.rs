//! The driver: connection, statements, errors, pages of raw cells, limits in flight.

pub mod budget;
pub mod clock;
pub mod codec;
pub(in crate::store) mod columns;
pub(in crate::store) mod conditional;
pub mod connect;
mod connect_failure;
pub mod ddl;
pub mod error;
pub mod fenced_lease;
pub mod gate;
pub mod names;
mod order_proven;
pub mod pages;
pub mod quote;
pub mod raw;
pub mod ring;
pub mod scan;
pub mod script;
pub mod statement;
