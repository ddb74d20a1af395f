//! Recipes that people write: TOML, in files and in the program itself.
//!
//! ```toml
//! name = "mine"
//! batch = 32
//! epochs = 5
//! input = "u/255-0.5"
//! init = "glorot-uniform"
//! loss = "categorical-cross-entropy"
//!
//! [optimizer.adam]
//! learning_rate = 0.001
//! beta_1 = 0.9
//! beta_2 = 0.999
//! epsilon = 1e-7
//! ```
//!
//! The recipes in the program are such files too (`host/recipes`), with a comment for each field;
//! `sealnet recipe NAME` prints one to copy and edit.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::check::MAX_GIVEN_NAME;
use super::{Recipe, Wrong};
use crate::error::{Error, Result};
use crate::files;

/// A recipe and the text that says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// What the text says; its values are allowed.
    pub recipe: Recipe,
    /// TOML.
    pub text: String,
}

/// The recipes in the program: name, and TOML with a comment for each field. The first line of each says in
/// one line what it is.
pub const BUILT_IN: [(&str, &str); 4] = [
    ("paper", include_str!("../../../recipes/paper.toml")),
    ("quick", include_str!("../../../recipes/quick.toml")),
    ("best", include_str!("../../../recipes/best.toml")),
    ("robust", include_str!("../../../recipes/robust.toml")),
];

/// The recipe that `named` means: what `--recipe` takes. A path is what has a separator in it or ends in
/// `.toml`; anything else is the name of a recipe in the program.
///
/// # Errors
/// [`Error::Input`] when there is no such recipe, or as [`read`]; [`Error::Io`] when a file cannot be read.
pub fn find(named: &str) -> Result<Written> {
    if let Some(path) = as_path(named) {
        return read(path);
    }
    let Some((_, text)) = BUILT_IN.iter().find(|(name, _)| *name == named) else {
        let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        return Err(Error::input(
            format!("there is no recipe {named:?}"),
            format!(
                "known: {}; a file's name ends in .toml or has a folder before it, as in ./{named}",
                known.join(", ")
            ),
        ));
    };
    Ok(Written {
        recipe: parse(named, text)?,
        text: (*text).to_owned(),
    })
}

/// The file that `named` means, if it means one and not a recipe in the program.
pub fn as_path(named: &str) -> Option<&Path> {
    let separated = named.chars().any(std::path::is_separator);
    (separated || named.ends_with(".toml")).then(|| Path::new(named))
}

/// What a recipe in the program is, in one line.
pub fn summary(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches(['#', ' '])
}

/// Reads the recipe in the file `path`.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::Input`] with the line when it is not a recipe, a value is not
/// allowed, or it has the name of a recipe in the program and is another.
pub fn read(path: &Path) -> Result<Written> {
    let place = path.display().to_string();
    let text = String::from_utf8(files::read_limited(path, MAX_BYTES)?).map_err(|_| {
        Error::input(
            format!("{place} is not a text in UTF-8"),
            "a recipe is a TOML file; `sealnet recipe paper` prints one",
        )
    })?;
    let recipe = parse(&place, &text)?;
    let name = recipe.name.split(',').next().unwrap_or_default();
    if name.len() > MAX_GIVEN_NAME {
        return Err(Error::input(
            format!("{place}: its name {name:?} has {} characters", name.len()),
            format!("at most {MAX_GIVEN_NAME} are possible: --epochs and --weights add to it"),
        ));
    }
    refuse_another_ones_name(&place, &recipe)?;
    Ok(Written { recipe, text })
}

/// The recipe that `text` says; `place` is where it came from.
fn parse(place: &str, text: &str) -> Result<Recipe> {
    let recipe: Recipe = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_at(text, span.start));
        let what = error.message().replace('\n', ", ");
        Error::input(
            format!("{place}, line {line}: {what}"),
            "`sealnet recipe best` and `sealnet recipe robust` explain every field",
        )
    })?;
    recipe.check().map_err(|wrong| {
        let line = line_of(text, wrong.field).unwrap_or(1);
        let Wrong {
            field,
            found,
            allowed,
        } = wrong;
        Error::input(
            format!("{place}, line {line}: `{field}` is {found}"),
            format!("it must be {allowed}"),
        )
    })?;
    Ok(recipe)
}

/// A receipt that says `paper` must mean the paper's recipe, to people as well.
fn refuse_another_ones_name(place: &str, recipe: &Recipe) -> Result<()> {
    let name = recipe.name.split(',').next().unwrap_or_default();
    let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) else {
        return Ok(());
    };
    let meant = parse(name, text)?;
    let mut likenesses = vec![meant.clone(), meant.clone().with_epochs(recipe.epochs)];
    if let Some(finish) = recipe.finish {
        let longer = likenesses.clone().into_iter();
        likenesses.extend(longer.map(|likeness| likeness.with_weights(finish.weights)));
    }
    if likenesses.contains(recipe) {
        return Ok(());
    }
    Err(Error::input(
        format!(
            "{place} is called {:?} and is not the recipe {name} of this program",
            recipe.name
        ),
        "give it a name of its own",
    ))
}

/// The line, from 1, of the byte at `offset`.
fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

/// The line, from 1, of a field's value.
fn line_of(text: &str, field: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let (mut table, mut start) = (root.get_ref(), None);
    for name in field.split('.') {
        let value = table.get(name)?;
        start = Some(value.span().start);
        if let DeValue::Table(inner) = value.get_ref() {
            table = inner;
        }
    }
    start.map(|offset| line_at(text, offset))
}

/// A recipe with a comment for each field takes a few thousand.
const MAX_BYTES: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipes_in_the_program_are_what_they_are_called() {
        for (name, text) in BUILT_IN {
            let written = find(name).unwrap();
            assert_eq!(written.recipe.name, name);
            assert_eq!(written.text, text);
            assert!(!summary(text).is_empty() && text.starts_with("# "));
        }
        assert_eq!(find("paper").unwrap().recipe, Recipe::paper());
    }

    #[test]
    fn json_and_toml_say_the_same() {
        for (name, _) in BUILT_IN {
            let recipe = find(name).unwrap().recipe;
            let json = serde_json::to_string(&recipe).unwrap();
            assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let (_, paper) = BUILT_IN[0];
        for (from, to, after, tells) in [
            ("batch = 32", "bacth = 32", 0, "unknown field `bacth`"),
            ("batch = 32", "bacth = 32", 0, "`batch`"),
            (
                "batch = 32",
                "batch = 0",
                0,
                "it must be at least 1 and at most 65536",
            ),
            ("batch = 32", "batch = \"all\"", 0, "expected u32"),
            ("batch = 32", "batch = 32\nbatch = 32", 1, "duplicate"),
            (
                "beta_1 = 0.9",
                "beta_1 = 1.0",
                0,
                "`optimizer.adam.beta_1` is 1",
            ),
            (
                "beta_2 = 0.999",
                "beta_2 = nan",
                0,
                "it must be at least 0 and below 1",
            ),
            ("epsilon = 1e-7", "epsilon = 1e-7\nrho = 1", 1, "`rho`"),
            (
                "init = \"glorot-uniform\"",
                "init = \"he\"",
                0,
                "`glorot-uniform`",
            ),
            ("[optimizer.adam]", "[optimizer.sgd]", 0, "`adam`"),
        ] {
            assert_eq!(paper.matches(from).count(), 1, "{from}");
            let error = parse("mine.toml", &paper.replace(from, to)).unwrap_err();
            let line = 1 + after + paper.lines().position(|l| l.contains(from)).unwrap();
            let told = format!("{error} ({})", error.hint());
            let place = format!("mine.toml, line {line}: ");
            assert!(told.starts_with(&place), "{told}: not at {place}");
            assert!(told.contains(tells) && !told.contains('\n'), "{told}");
        }
        let missing = parse("mine.toml", "name = \"mine\"").unwrap_err();
        assert!(missing.to_string().contains("missing field `batch`"));
    }

    #[test]
    fn no_file_takes_the_name_of_another_recipe() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.toml");
        let (_, paper) = BUILT_IN[0];
        let read = |from: &str, to: &str| {
            std::fs::write(&path, paper.replace(from, to)).unwrap();
            read(&path).map(|written| written.recipe)
        };
        assert_eq!(read("", "").unwrap(), Recipe::paper());
        let error = read("batch = 32", "batch = 64").unwrap_err();
        assert!(
            error.to_string().contains("not the recipe paper"),
            "{error}"
        );
        assert!(read("epochs = 5", "epochs = 6").is_err());
        let longer = paper.replace("epochs = 5", "epochs = 6");
        std::fs::write(&path, longer.replace("\"paper\"", "\"paper, 6 epochs\"")).unwrap();
        let longer = super::read(&path).unwrap().recipe;
        assert_eq!(longer, Recipe::paper().with_epochs(6));
        assert_eq!(read("\"paper\"", "\"mine\"").unwrap().name, "mine");
    }

    #[test]
    fn names_and_paths() {
        for path in ["r.toml", "./paper", "a/paper", "paper.toml"] {
            assert_eq!(as_path(path), Some(Path::new(path)));
        }
        assert_eq!(as_path("paper"), None);
        let error = find("miracle").unwrap_err();
        assert_eq!(error.to_string(), "there is no recipe \"miracle\"");
        assert!(error.hint().contains("known: paper"), "{}", error.hint());
    }
}
