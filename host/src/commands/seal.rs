//! `sealnet seal`

use sealnet::error::{Error, Result};

use super::Outcome;
use crate::cli::SealArgs;
use crate::ui::Ui;

pub(crate) fn run(_args: &SealArgs, _ui: &Ui) -> Result<Outcome> {
    Err(Error::input("not built yet", ""))
}
