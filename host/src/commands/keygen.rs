//! `sealnet keygen`

use sealnet::error::{Error, Result};

use super::Outcome;
use crate::cli::KeygenArgs;
use crate::ui::Ui;

pub(crate) fn run(_args: &KeygenArgs, _ui: &Ui) -> Result<Outcome> {
    Err(Error::input("not built yet", ""))
}
