//! `sealnet recipe`: the recipes there are, and each as a file to copy.

use sealnet::error::Result;
use sealnet::train::Recipe;
use sealnet::train::recipe::file;
use serde::Serialize;
use serde_json::json;

use super::Outcome;
use crate::cli::RecipeArgs;
use crate::ui::Ui;

/// One recipe. Not by way of a JSON value, in which its numbers of 32 bits would have digits that nobody wrote.
#[derive(Serialize)]
struct Document<'a> {
    recipe: &'a Recipe,
    toml: &'a str,
}

pub(crate) fn run(args: &RecipeArgs, ui: &Ui) -> Result<Outcome> {
    match &args.recipe {
        None => list(ui)?,
        Some(named) => {
            let written = file::find(named)?;
            for line in written.text.lines() {
                ui.line(line)?;
            }
            ui.document(&Document {
                recipe: &written.recipe,
                toml: &written.text,
            })?;
        }
    }
    Ok(Outcome::Done)
}

fn list(ui: &Ui) -> Result<()> {
    for (name, text) in file::BUILT_IN {
        ui.line(format!("{name:<8} {}", file::summary(text)))?;
    }
    ui.say("`sealnet recipe NAME` prints one to copy and edit");
    let recipes =
        file::BUILT_IN.map(|(name, text)| json!({ "name": name, "summary": file::summary(text) }));
    ui.document(&json!({ "recipes": recipes }))
}
