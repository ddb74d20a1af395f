//! What a campaign has found so far: kept in a file, printed at the end.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use sealnet_firmware::campaign::skip::Skips;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::Output;
use crate::failure::{Failure, with_error};
use crate::text::{document as told, print};

/// What has been found so far; kept between runs with `--report`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Report {
    /// Whether it is of the sample.
    pub(super) quick: bool,
    /// SHA-512 of what the firmware's image puts into flash: what was found of one says nothing of another.
    pub(super) image: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bit_flips: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) power_cuts: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) frames: Option<Value>,
    /// By forgery.
    #[serde(default)]
    pub(super) skips: BTreeMap<String, SkipsOfOne>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SkipsOfOne {
    /// Instructions that the boot executes, and at how many addresses; how many trials there are.
    pub(super) instructions: usize,
    pub(super) addresses: usize,
    pub(super) all_trials: usize,
    /// Parts that are done.
    pub(super) parts: BTreeMap<usize, Skips>,
}

impl SkipsOfOne {
    fn sum(&self) -> Skips {
        let mut sum = Skips::default();
        self.parts.values().cloned().for_each(|part| sum.add(part));
        sum
    }
}

impl Report {
    /// The report that is to be gone on from, or a new one.
    pub(super) fn open(path: Option<&Path>, quick: bool, image: String) -> Result<Self, Failure> {
        let new = Self {
            quick,
            image,
            ..Self::default()
        };
        let Some(path) = path.filter(|path| path.exists()) else {
            return Ok(new);
        };
        let text = fs::read(path).map_err(Failure::io("read", path))?;
        let old: Self =
            serde_json::from_slice(&text).map_err(|error| unusable(path, &error.to_string()))?;
        if (old.quick, &old.image) != (new.quick, &new.image) {
            let what = "it is of another firmware, or of the sample and not of everything";
            return Err(unusable(path, what));
        }
        Ok(old)
    }

    /// Writes the report whole or not at all.
    pub(super) fn keep(&self, path: Option<&Path>) -> Result<(), Failure> {
        let Some(path) = path else {
            return Ok(());
        };
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let text =
            serde_json::to_vec_pretty(self).map_err(|error| unusable(path, &error.to_string()))?;
        let mut file =
            tempfile::NamedTempFile::new_in(folder).map_err(Failure::io("write in", folder))?;
        file.write_all(&text)
            .and_then(|()| file.as_file().sync_all())
            .map_err(Failure::io("write", path))?;
        file.persist(path)
            .map_err(|error| Failure::io("write", path)(error.error))?;
        Ok(())
    }

    /// Prints what was found; a failure if anything was.
    pub(super) fn conclude(&self, output: Output) -> Result<(), Failure> {
        let mut document = json!({"quick": self.quick, "image": self.image});
        let mut bad = 0;
        let parts = [
            ("bit_flips", &self.bit_flips),
            ("power_cuts", &self.power_cuts),
            ("frames", &self.frames),
        ];
        for (name, part) in parts {
            if let Some(part) = part {
                bad += FAILURES
                    .iter()
                    .filter_map(|key| part.get(key).and_then(Value::as_u64))
                    .sum::<u64>();
                document[name] = part.clone();
            }
        }
        if !self.skips.is_empty() {
            let mut all = Skips::default();
            let mut forgeries = serde_json::Map::new();
            let (mut executed, mut covered) = (0, 0);
            for (forgery, found) in &self.skips {
                let sum = found.sum();
                executed += found.addresses;
                covered += sum.covered.len();
                forgeries.insert(
                    forgery.clone(),
                    json!({
                        "instructions": found.instructions,
                        "addresses_executed": found.addresses,
                        "addresses_covered": sum.covered.len(),
                        "all_trials": found.all_trials,
                        "trials": sum.trials,
                        "refused": sum.refused,
                        "faulted": sum.faulted,
                        "hung": sum.hung,
                        "busy": sum.busy,
                        "accepted": sum.accepted,
                        "places": sum.places,
                    }),
                );
                all.add(sum);
            }
            bad += all.accepted as u64;
            document["instruction_skips"] = json!({
                "trials": all.trials,
                "accepted": all.accepted,
                "addresses_executed": executed,
                "addresses_covered": covered,
                "forgeries": forgeries,
            });
        }
        let failure = (bad > 0).then_some(Failure::Faults(bad));
        match output.json {
            true => told(&with_error(document, failure.as_ref()))?,
            false => print(&table(&document))?,
        }
        failure.map_or(Ok(()), Err)
    }
}

/// The same for people.
fn table(document: &Value) -> String {
    let mut text = String::new();
    let names = [
        ("bit_flips", "bit flips"),
        ("power_cuts", "power cuts"),
        ("frames", "frames"),
        ("instruction_skips", "skipped instructions"),
    ];
    for (key, name) in names {
        let Some(Value::Object(part)) = document.get(key) else {
            continue;
        };
        let figures: Vec<String> = part
            .iter()
            .filter(|(_, value)| value.is_u64())
            .map(|(key, value)| format!("{} {value}", key.replace('_', " ")))
            .collect();
        text += &format!("{name:<21} {}\n", figures.join(", "));
        if let Some(Value::Object(forgeries)) = part.get("forgeries") {
            for (forgery, figures) in forgeries {
                let count = |key: &str| figures.get(key).cloned().unwrap_or_default();
                text += &format!(
                    "  {forgery:<19} {} of {} addresses, {} of {} trials: {} refused, {} faulted, {} hung, {} busy, {} accepted\n",
                    count("addresses_covered"),
                    count("addresses_executed"),
                    count("trials"),
                    count("all_trials"),
                    count("refused"),
                    count("faulted"),
                    count("hung"),
                    count("busy"),
                    count("accepted"),
                );
            }
        }
        for place in examples(part) {
            text += &format!("  {place}\n");
        }
    }
    text
}

fn examples(part: &serde_json::Map<String, Value>) -> Vec<String> {
    let own = part.get("examples");
    let places = part
        .get("forgeries")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|forgeries| forgeries.values().map(|found| found.get("places")));
    places
        .chain([own])
        .flatten()
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|place| place.as_str().map(str::to_owned))
        .collect()
}

fn unusable(path: &Path, what: &str) -> Failure {
    Failure::Report {
        path: path.into(),
        what: what.into(),
    }
}

/// Keys under which a part says what went wrong.
const FAILURES: [&str; 5] = [
    "accepted",
    "bad_boots",
    "accepted_forgeries",
    "panics",
    "deeper_stacks",
];
