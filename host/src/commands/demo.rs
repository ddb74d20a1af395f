//! `sealnet demo`

use sealnet::error::{Error, Result};

use super::Outcome;
use crate::cli::DemoArgs;
use crate::ui::Ui;

pub(crate) fn run(_args: &DemoArgs, _ui: &Ui) -> Result<Outcome> {
    Err(Error::input("not built yet", ""))
}
