//! `sealnet export`

use sealnet::error::{Error, Result};

use super::Outcome;
use crate::cli::ExportArgs;
use crate::ui::Ui;

pub(crate) fn run(_args: &ExportArgs, _ui: &Ui) -> Result<Outcome> {
    Err(Error::input("not built yet", ""))
}
