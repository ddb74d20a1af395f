//! `sealnet doctor`

use sealnet::error::{Error, Result};

use super::Outcome;
use crate::cli::DoctorArgs;
use crate::ui::Ui;

pub(crate) fn run(_args: &DoctorArgs, _ui: &Ui) -> Result<Outcome> {
    Err(Error::input("not built yet", ""))
}
