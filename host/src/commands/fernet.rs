//! `sealnet fernet`

use sealnet::error::{Error, Result};

use super::Outcome;
use crate::cli::FernetArgs;
use crate::ui::Ui;

pub(crate) fn run(_args: &FernetArgs, _ui: &Ui) -> Result<Outcome> {
    Err(Error::input("not built yet", ""))
}
