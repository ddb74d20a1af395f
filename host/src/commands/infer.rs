//! `sealnet infer`

use sealnet::error::{Error, Result};

use super::Outcome;
use crate::cli::InferArgs;
use crate::ui::Ui;

pub(crate) fn run(_args: &InferArgs, _ui: &Ui) -> Result<Outcome> {
    Err(Error::input("not built yet", ""))
}
