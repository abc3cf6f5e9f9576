//! `graph`.

use super::{Exit, Failure, Streams};

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args, _streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    Err(Failure::usage("this verb is not built yet"))
}
