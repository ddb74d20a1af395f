//! What a report comes to, for programs and for people.

use sealnet_firmware::campaign::Tally;
use sealnet_firmware::campaign::skip::{Scenario, Skips};
use serde_json::{Value, json};

use super::FaultKind;
use super::pieces::{PIECES, Piece};
use super::report::{Found, Report};
use crate::cli::Output;
use crate::failure::{Failure, with_error};
use crate::text::{document as told, print};

/// What faults are called.
const KINDS: [(&str, FaultKind); 3] = [
    ("bit_flips", FaultKind::Flips),
    ("power_cuts", FaultKind::Cuts),
    ("frames", FaultKind::Frames),
];

impl Report {
    /// Prints what was found; a failure if anything was.
    pub(super) fn conclude(&self, output: Output) -> Result<(), Failure> {
        let not_tried = self.not_tried();
        let mut document = json!({
            "quick": self.quick,
            "image": self.image,
            "complete": not_tried.is_empty() && !self.quick,
            "not_tried": not_tried,
        });
        let mut bad = 0;
        for (name, kind) in KINDS {
            let parts: Vec<(&Piece, &Found)> = self.parts_of(kind).collect();
            let (summed, failures) = self.sum(kind, &parts);
            bad += failures;
            document[name] = summed;
        }
        let mut all = Skips::default();
        let mut scenarios = serde_json::Map::new();
        let (mut executed, mut covered) = (0, 0);
        for (scenario, found) in &self.skips {
            let mut sum = found.sum();
            // The worst first: people are shown only some.
            sum.places
                .sort_by_key(|place| !place.ends_with(Skips::ACCEPTED));
            executed += found.addresses;
            covered += sum.covered.len();
            scenarios.insert(
                scenario.clone(),
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
                    "garbled": sum.garbled,
                    "locked": sum.locked,
                    "missed": sum.missed,
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
            "scenarios": scenarios,
        });
        let failure = (bad > 0).then_some(Failure::Faults(bad));
        match output.json {
            true => told(&with_error(document, failure.as_ref()))?,
            false => print(&table(&document))?,
        }
        failure.map_or(Ok(()), Err)
    }

    /// What is in no part that is done.
    fn not_tried(&self) -> Vec<String> {
        let left = |name: &str, done: usize, all: usize| match (done, all) {
            (done, all) if done >= all => None,
            (0, _) => Some(name.to_owned()),
            _ => Some(format!("{} of {all} parts of {name}", all - done)),
        };
        let kinds = KINDS.iter().filter_map(|(name, kind)| {
            let all = self.all_parts(*kind);
            left(&name.replace('_', " "), self.parts_of(*kind).count(), all)
        });
        let scenarios = Scenario::ALL.iter().filter_map(|scenario| {
            let done = self
                .skips
                .get(scenario.name())
                .map_or(0, |one| one.parts.len());
            let name = format!("skips of {}", scenario.name());
            left(&name, done, super::skip_parts(self.quick))
        });
        kinds.chain(scenarios).collect()
    }

    /// Parts that there are of one kind of fault.
    fn all_parts(&self, kind: FaultKind) -> usize {
        let pieces = PIECES.iter().filter(|piece| piece.kind == kind);
        pieces.map(|piece| piece.parts(self.quick).get()).sum()
    }

    /// What parts of one kind of fault come to, and how many faults were not withstood.
    fn sum(&self, kind: FaultKind, parts: &[(&Piece, &Found)]) -> (Value, u64) {
        let sum = |of: fn(&Found) -> u64| parts.iter().map(|(_, found)| of(found)).sum::<u64>();
        let in_qemu = parts.iter().filter(|(piece, _)| piece.is_in_qemu);
        let in_qemu: u64 = in_qemu.map(|(_, found)| found.trials).sum();
        let stack = parts.iter().filter_map(|(_, found)| found.stack).max();
        // Faults must not take more stack than the budget's session, which is to take every path.
        let deeper = u64::from(stack.is_some() && stack > self.stack_budget);
        let examples = parts.iter().flat_map(|(_, found)| &found.examples);
        let examples: Vec<&String> = examples.take(Tally::EXAMPLES).collect();
        let (failures, panics) = (sum(|found| found.failures), sum(|found| found.panics));
        let mut summed = json!({
            "trials": sum(|found| found.trials),
            "parts_done": parts.len(),
            "parts": self.all_parts(kind),
            "examples": examples,
        });
        let failures_are = match kind {
            FaultKind::Flips => "accepted",
            FaultKind::Cuts => "bad_boots",
            FaultKind::Frames | FaultKind::Skips => "accepted_forgeries",
        };
        summed[failures_are] = failures.into();
        if kind == FaultKind::Frames {
            summed["panics"] = panics.into();
            summed["honest_requests_between"] = sum(|found| found.honest).into();
        }
        if kind != FaultKind::Cuts {
            summed["trials_in_qemu"] = in_qemu.into();
        }
        if let Some(stack) = stack {
            summed["stack_bytes"] = stack.into();
            summed["deeper_stacks"] = deeper.into();
        }
        (summed, failures + panics + deeper)
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
        let scenarios = part.get("scenarios").and_then(Value::as_object);
        if part.get("parts_done") == Some(&0.into()) || scenarios.is_some_and(|all| all.is_empty())
        {
            continue;
        }
        let figures: Vec<String> = part
            .iter()
            .filter(|(_, value)| value.is_u64())
            .map(|(key, value)| format!("{} {value}", key.replace('_', " ")))
            .collect();
        text += &format!("{name:<21} {}\n", figures.join(", "));
        if let Some(Value::Object(scenarios)) = part.get("scenarios") {
            for (scenario, figures) in scenarios {
                let count = |key: &str| figures.get(key).cloned().unwrap_or_default();
                text += &format!(
                    "  {scenario:<25} {} of {} addresses, {} of {} trials: {} refused, {} faulted, {} hung, {} busy, {} accepted, {} garbled, {} locked, {} missed\n",
                    count("addresses_covered"),
                    count("addresses_executed"),
                    count("trials"),
                    count("all_trials"),
                    count("refused"),
                    count("faulted"),
                    count("hung"),
                    count("busy"),
                    count("accepted"),
                    count("garbled"),
                    count("locked"),
                    count("missed"),
                );
                text += &some(figures.get("places"));
            }
        }
        text += &some(part.get("examples"));
    }
    if document.get("quick") == Some(&true.into()) {
        text += "a sample: without --quick everything is tried\n";
    }
    let not_tried = document.get("not_tried").and_then(Value::as_array);
    let not_tried: Vec<&str> = not_tried
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !not_tried.is_empty() {
        text += &format!("not tried: {}\n", not_tried.join(", "));
    }
    text
}

/// The first of them, a line each, and how many more there are.
fn some(places: Option<&Value>) -> String {
    let places = places.and_then(Value::as_array);
    let places: Vec<&str> = places
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let shown = places.iter().take(Tally::EXAMPLES);
    let mut text: String = shown.map(|place| format!("    {place}\n")).collect();
    match places.len().saturating_sub(Tally::EXAMPLES) {
        0 => {}
        more => text += &format!("    and {more} more: --json names them all\n"),
    }
    text
}
