//! `sealnet fetch`

use sealnet::error::{Error, Result};

use super::Outcome;
use crate::cli::FetchArgs;
use crate::ui::Ui;

pub(crate) fn run(_args: &FetchArgs, _ui: &Ui) -> Result<Outcome> {
    Err(Error::input("not built yet", ""))
}
