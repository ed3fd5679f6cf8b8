//! Where Cassandra and ONNX Runtime are: flags > `HELENUS_*` > the first configuration file.

use clap::Args;

/// Connection flags of every command.
#[derive(Debug, Clone, Args)]
pub struct Flags {
    /// Contact points, `host[:port]`, comma separated.
    #[arg(
        long,
        global = true,
        env = "HELENUS_CONTACT_POINTS",
        value_delimiter = ','
    )]
    pub contact_points: Vec<String>,
}
