//! `sealnet open`

use sealnet::error::{Error, Result};

use super::Outcome;
use crate::cli::OpenArgs;
use crate::ui::Ui;

pub(crate) fn run(_args: &OpenArgs, _ui: &Ui) -> Result<Outcome> {
    Err(Error::input("not built yet", ""))
}
