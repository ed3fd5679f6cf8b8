//! CQL values: types, wire form, literals, canonical form, keys, token ranges. Knows nothing of
//! helenus.

pub mod canonical;
pub mod cell_json;
pub mod cells;
pub mod cql_type;
pub mod json_row;
pub mod json_value;
pub mod key;
pub mod literal;
pub mod number;
pub mod ring;
pub mod schema;
pub mod utc;
pub mod wire;
