//! `sealnet train`

use sealnet::error::{Error, Result};

use super::Outcome;
use crate::cli::TrainArgs;
use crate::ui::Ui;

pub(crate) fn run(_args: &TrainArgs, _ui: &Ui) -> Result<Outcome> {
    Err(Error::input("not built yet", ""))
}
