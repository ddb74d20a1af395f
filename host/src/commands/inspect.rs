//! `sealnet inspect`

use sealnet::error::{Error, Result};

use super::Outcome;
use crate::cli::InspectArgs;
use crate::ui::Ui;

pub(crate) fn run(_args: &InspectArgs, _ui: &Ui) -> Result<Outcome> {
    Err(Error::input("not built yet", ""))
}
