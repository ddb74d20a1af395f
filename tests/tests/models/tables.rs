//! CSV files of reals with named columns and classes: trained on one, answered on another.

use sealnet::random::{Random, Stream};
use sealnet_core::artefact::Sealed;
use sealnet_tests::{Ran, python, script};
use serde_json::Value;

use super::workspace::Workspace;

const COLUMNS: [&str; 4] = ["sepal length", "sepal width", "petal length", "petal width"];
const SPECIES: [&str; 3] = ["setosa", "versicolor", "virginica"];

/// Flowers after Fisher's means, one decimal: 50 of each kind in `records`, the label last.
fn flowers(seed: u64, records: std::ops::Range<usize>) -> Vec<(Vec<String>, &'static str)> {
    let means = [[50, 34, 15, 3], [59, 28, 43, 13], [66, 30, 56, 20]];
    let mut random = Random::new(seed, Stream::Split);
    let all: Vec<_> = (0..150)
        .map(|index| {
            let kind = index % 3;
            let cells = means[kind].map(|mean: u32| {
                let tenths = mean * 4 + random.below(9);
                format!("{}.{}", tenths / 40, tenths % 40 / 4)
            });
            (cells.to_vec(), SPECIES[kind])
        })
        .collect();
    all[records].to_vec()
}

/// A CSV file with these columns of the flowers in this order; `species` is the label.
fn table(columns: &[&str], flowers: &[(Vec<String>, &'static str)]) -> String {
    let mut text = columns.join(",") + "\n";
    for (cells, species) in flowers {
        let row = columns.iter().map(|name| {
            let at = COLUMNS.iter().position(|column| column == name);
            at.map_or(*species, |at| cells[at].as_str())
        });
        text += &(row.collect::<Vec<_>>().join(",") + "\n");
    }
    text
}

const IN_ORDER: [&str; 5] = [
    "sepal length",
    "sepal width",
    "petal length",
    "petal width",
    "species",
];

/// `train.csv` (100 flowers) and `test.csv` (50 others), whose columns span other ranges.
fn garden() -> Workspace {
    let workspace = Workspace::new();
    workspace.write(
        "train.csv",
        table(&IN_ORDER, &flowers(1, 0..100)).as_bytes(),
    );
    workspace.write(
        "test.csv",
        table(&IN_ORDER, &flowers(1, 100..150)).as_bytes(),
    );
    workspace
}

impl Workspace {
    fn grown(self, source: &str) -> Workspace {
        self.done(&format!(
            "train {source} -o iris.safetensors --label species --hidden 12,12 --epochs 120"
        ));
        self.done("export iris.safetensors -o iris.sealed --max-loss 5 --clear");
        self
    }

    fn accuracy(&self, line: &str) -> f64 {
        self.json(line)["accuracy"].as_f64().unwrap()
    }
}

#[test]
fn trained_on_one_file_answers_on_another() {
    let workspace = garden().grown("train.csv");
    let result = workspace.json("infer iris.sealed test.csv");
    assert_eq!(result["records"], 50);
    assert_eq!(result["class_names"], serde_json::json!(SPECIES));
    assert!(result["accuracy"].as_f64().unwrap() > 0.9, "{result}");
    let ran = workspace.done("infer iris.sealed test.csv");
    let first = ran.stdout.lines().next().unwrap();
    let fields: Vec<&str> = first.split('\t').collect();
    // Record 100 of all is a versicolor.
    assert_eq!(fields[..2], ["0", "versicolor"]);
    assert!(SPECIES.contains(&fields[2]));

    // The columns in another order are the same records.
    let shuffled = [
        "petal width",
        "species",
        "sepal width",
        "petal length",
        "sepal length",
    ];
    workspace.write(
        "shuffled.csv",
        table(&shuffled, &flowers(1, 100..150)).as_bytes(),
    );
    let again = workspace.json("infer iris.sealed shuffled.csv");
    assert_eq!(again["predictions"], result["predictions"]);
    assert_eq!(again["accuracy"], result["accuracy"]);
    // And so is one class alone, whose own number would be another.
    let some: Vec<_> = flowers(1, 100..150);
    let some: Vec<_> = some
        .into_iter()
        .filter(|(_, kind)| *kind == "virginica")
        .collect();
    workspace.write("some.csv", table(&IN_ORDER, &some).as_bytes());
    assert!(workspace.accuracy("infer iris.sealed some.csv") > 0.8);
}

#[test]
fn a_model_that_no_device_has_room_for_is_exported_with_a_warning() {
    let workspace = Workspace::new();
    let long = "x".repeat(200);
    let mut text: String = (0..8).map(|column| format!("{column}{long},")).collect();
    text += "kind\n";
    for record in 0..60 {
        let kind = record % 2;
        text += &format!("{},", 100 * kind + record).repeat(8);
        text += &format!("{kind}\n");
    }
    workspace.write("long.csv", text.as_bytes());
    workspace.done("train long.csv -o long.safetensors --label kind --hidden 4,4 --epochs 20");
    let warned = workspace.done("export long.safetensors -o long.sealed --max-loss 100");
    let warning = "warning: no device can run the model: its body is ";
    assert!(
        warned.stderr.contains(warning) && warned.stderr.contains("shorten the names"),
        "{}",
        warned.stderr
    );
    // A clear one lies in the slot as it is.
    let clear = workspace.done("export long.safetensors -o clear.sealed --max-loss 100 --clear");
    assert!(!clear.stderr.contains("no device"), "{}", clear.stderr);
}

/// The file that trained a model has the very features that it was trained on.
#[test]
fn the_model_scales_its_own_file_as_training_did() {
    let workspace = garden().grown("train.csv");
    let result = workspace.json("infer iris.sealed train.csv");
    assert_eq!(result["clamped"], 0);
    workspace.done("seal train.csv vault --label species");
    let sealed = workspace.json("infer iris.sealed vault");
    assert_eq!(sealed["predictions"], result["predictions"]);
}

#[test]
fn values_beyond_the_training_are_clamped_and_counted() {
    let workspace = garden().grown("train.csv");
    let giant = |sizes: [&str; 4]| (sizes.map(String::from).to_vec(), "virginica");
    let flowers = [
        giant(["6.6", "3.0", "99", "2.0"]),
        giant(["6.6", "-3", "99.5", "2.0"]),
    ];
    workspace.write("giants.csv", table(&IN_ORDER, &flowers).as_bytes());
    let ran = workspace.done("infer iris.sealed giants.csv");
    assert!(
        ran.stderr.contains("3 of 8 values lie beyond"),
        "{}",
        ran.stderr
    );
    assert_eq!(workspace.json("infer iris.sealed giants.csv")["clamped"], 3);
}

#[test]
fn other_columns_and_classes_are_refused() {
    let workspace = garden().grown("train.csv");
    let flowers = flowers(1, 100..150);
    for (columns, words) in [
        (
            &["sepal length", "sepal width", "petal length", "species"][..],
            "lacks columns that the model was trained on: petal width",
        ),
        (
            &["a", "b", "c", "d", "species"],
            "sepal length, sepal width, petal length, petal width",
        ),
        (
            &[
                "sepal length",
                "sepal width",
                "petal length",
                "petal width",
                "species",
                "colour",
            ],
            "does not know: species, colour",
        ),
        (&COLUMNS, "none for the label"),
    ] {
        workspace.write("other.csv", table(columns, &flowers).as_bytes());
        workspace.refused("infer iris.sealed other.csv", 2, words);
    }
    let with_extra = [
        "sepal length",
        "sepal width",
        "petal length",
        "petal width",
        "species",
        "colour",
    ];
    workspace.write("other.csv", table(&with_extra, &flowers).as_bytes());
    workspace.run("infer iris.sealed other.csv --label species");
    let ran = workspace.run("infer iris.sealed other.csv --label species");
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("does not know: colour"),
        "{}",
        ran.stderr
    );
    workspace.write(
        "test.csv",
        table(&IN_ORDER, &flowers)
            .replace("setosa", "tulip")
            .as_bytes(),
    );
    workspace.refused(
        "infer iris.sealed test.csv",
        2,
        "\"tulip\" is none of the model's classes: setosa,",
    );
    // Without a heading the columns can only be taken in their order, which the user is told.
    let bare = table(&IN_ORDER, &flowers);
    let bare: String = bare
        .lines()
        .skip(1)
        .map(|line| {
            let (rest, label) = line.rsplit_once(',').unwrap();
            format!("{label},{rest}\n")
        })
        .collect();
    workspace.write("bare.csv", bare.as_bytes());
    let ran = workspace.done("infer iris.sealed bare.csv");
    assert!(
        ran.stderr.contains("does not name its columns"),
        "{}",
        ran.stderr
    );
}

/// Sealed features are what they are: other names, classes or scalings cannot be brought into a form.
#[test]
fn vaults_carry_names_and_others_are_refused() {
    let workspace = garden();
    workspace.done("seal train.csv vault --label species");
    let workspace = workspace.grown_from_vault();
    let flowers = flowers(1, 0..100);
    assert!(workspace.accuracy("infer iris.sealed vault") > 0.9);
    assert!(workspace.accuracy("infer iris.sealed test.csv") > 0.9);
    workspace.done("open vault again.csv");
    let again = String::from_utf8(workspace.read("again.csv")).unwrap();
    assert!(
        again.starts_with("species,sepal length,sepal width,"),
        "{again}"
    );
    assert_eq!(
        workspace.accuracy("infer iris.sealed again.csv"),
        workspace.accuracy("infer iris.sealed vault")
    );

    let shuffled = [
        "sepal width",
        "sepal length",
        "petal length",
        "petal width",
        "species",
    ];
    let renamed = table(&IN_ORDER, &flowers);
    for (name, text, words) in [
        (
            "scaled",
            table(&IN_ORDER, &flowers[..40]),
            "scaled otherwise",
        ),
        ("shuffled", table(&shuffled, &flowers), "scaled otherwise"),
        (
            "renamed",
            renamed.replace("petal length", "stem length"),
            "\"stem length\", and the model was trained on \"petal length\"",
        ),
        (
            "species",
            renamed.replace("virginica", "zinnia"),
            "class 2 is \"zinnia\"",
        ),
    ] {
        workspace.write(&format!("{name}.csv"), text.as_bytes());
        workspace.done(&format!("seal {name}.csv {name} --label species"));
        workspace.refused(&format!("infer iris.sealed {name}"), 2, words);
    }
}

impl Workspace {
    fn grown_from_vault(self) -> Workspace {
        self.done("train vault -o iris.safetensors --hidden 12,12 --epochs 120");
        self.done("export iris.safetensors -o iris.sealed --max-loss 5");
        self
    }
}

/// The receipt says which column was the label; nobody has to say it again.
#[test]
fn the_label_is_remembered_by_the_receipt() {
    let workspace = garden().grown("train.csv");
    let receipt = workspace.json("inspect iris.safetensors.receipt.json");
    assert_eq!(receipt["document"]["predicate"]["data"]["label"], "species");
    workspace.refused(
        "export iris.safetensors -o x.sealed --label petal",
        2,
        "no column \"petal\"",
    );
}

#[test]
fn whole_numbers_stay_whole_numbers() {
    let workspace = Workspace::new();
    let rows = (0..180).map(|n| format!("{},{},{}\n", n % 3, n % 3 * 90 + n % 11, 250 - n % 7));
    let mut text = "label,a,b\n".to_owned() + &rows.collect::<String>();
    workspace.write("data.csv", text.as_bytes());
    let workspace = workspace.trained().exported();
    assert_eq!(workspace.json("infer model.sealed data.csv")["clamped"], 0);
    text += "1,300,-4\n";
    workspace.write("more.csv", text.as_bytes());
    assert_eq!(workspace.json("infer model.sealed more.csv")["clamped"], 2);
    workspace.write("reals.csv", format!("{text}1,0.5,1\n").as_bytes());
    workspace.refused(
        "infer model.sealed reals.csv",
        2,
        "line 183: column 2 (a) is 0.5; the model was trained on whole numbers",
    );
    workspace.write("classes.csv", format!("{text}3,1,1\n").as_bytes());
    workspace.refused(
        "infer model.sealed classes.csv",
        2,
        "line 183: the label \"3\" is none of the model's classes, 0 to 2",
    );
}

#[test]
fn a_stranger_and_inspect_read_the_names() {
    let workspace = garden().grown("train.csv");
    workspace.done("export iris.safetensors -o hidden.sealed --max-loss 5");
    for (file, shown) in [("iris.sealed", true), ("hidden.sealed", false)] {
        let said = workspace.json(&format!("inspect {file}"));
        if shown {
            assert_eq!(said["columns"], serde_json::json!(COLUMNS));
            assert_eq!(said["classes"], serde_json::json!(SPECIES));
        } else {
            assert!(
                said["columns"].as_str().unwrap().contains("encrypted"),
                "{said}"
            );
        }
        let mut stranger = python();
        stranger
            .arg(script("stranger.py"))
            .arg("model")
            .arg(workspace.path(file))
            .arg(workspace.path("keys"));
        let read: Value = Ran::new(&mut stranger).json();
        assert_eq!(read["names"]["columns"], serde_json::json!(COLUMNS));
        assert_eq!(read["names"]["classes"], serde_json::json!(SPECIES));
        assert_eq!(read["scaling"].as_array().unwrap().len(), 4);
    }
    // Names come from a file: they cannot steer the terminal.
    let text = table(&IN_ORDER, &flowers(1, 0..100)).replace("petal width", "petal \u{202e}width");
    workspace.write("train.csv", text.as_bytes());
    let workspace = workspace.grown("train.csv");
    let ran = workspace.done("inspect iris.sealed");
    assert!(
        ran.stdout.contains("petal \\u{202e}width"),
        "{}",
        ran.stdout
    );

    let bytes = workspace.read("iris.sealed");
    let names = Sealed::parse(&bytes).unwrap().untrusted_names().unwrap();
    assert_eq!(names.unwrap().columns().count(), 4);
}

/// What a sealed model cannot hold is said before anything is written.
#[test]
fn names_too_long_for_a_model_are_refused() {
    let workspace = garden();
    let long = "x".repeat(256);
    let text = table(&IN_ORDER, &flowers(1, 0..100)).replace("setosa", &long);
    workspace.write("train.csv", text.as_bytes());
    workspace.done("train train.csv -o iris.safetensors --label species --epochs 1");
    workspace.refused(
        "export iris.safetensors -o iris.sealed --max-loss 100",
        2,
        "as the name of a class",
    );
    assert!(!workspace.path("iris.sealed").exists());
}
