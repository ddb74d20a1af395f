//! `train --report` and `--log`: pictures that parse, tables that agree with the document, and refusals before
//! the work.

use std::fs;

use base64ct::{Base64, Encoding};
use roxmltree::Document;
use sealnet::dataset::idx;
use serde_json::Value;

use super::workspace::Workspace;

const FILES: [&str; 6] = [
    "confusion.csv",
    "confusion.svg",
    "curves.svg",
    "hardest.csv",
    "hardest.svg",
    "log.csv",
];

/// The names of what lies in a folder, in order.
fn names(workspace: &Workspace, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(workspace.path(folder)).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn text(workspace: &Workspace, name: &str) -> String {
    String::from_utf8(workspace.read(name)).unwrap()
}

/// The rows of a table below its heading, which must be this.
fn rows(workspace: &Workspace, name: &str, heading: &str) -> Vec<Vec<String>> {
    let text = text(workspace, name);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(heading), "{name}");
    lines
        .map(|line| line.split(',').map(String::from).collect())
        .collect()
}

fn number(value: &str) -> f64 {
    value.parse().unwrap()
}

const LOG: &str = "phase,epoch,training_loss,training_accuracy,validation_loss,validation_accuracy,\
                   learning_rate,seconds";
const HARDEST: &str = "record,label,predicted,probability,label_probability,loss";

#[test]
fn a_report_agrees_with_the_document() {
    let workspace = Workspace::new();
    workspace.noise();
    let line =
        "train noise -o m.safetensors --hidden 9,7 --epochs 3 --report out/report --log log.csv";
    let said = workspace.json(line);
    assert_eq!(names(&workspace, "out/report"), FILES);
    assert_eq!(
        said["report"]["files"].as_array().unwrap().len(),
        FILES.len()
    );

    let log = rows(&workspace, "log.csv", LOG);
    assert_eq!(
        workspace.read("log.csv"),
        workspace.read("out/report/log.csv")
    );
    assert_eq!(log.len(), 3);
    for (at, (row, epoch)) in log
        .iter()
        .zip(said["history"].as_array().unwrap())
        .enumerate()
    {
        assert_eq!(
            (row[0].as_str(), number(&row[1])),
            ("training", (at + 1) as f64)
        );
        for (column, [of, what]) in (2..).zip([
            ["training", "loss"],
            ["training", "accuracy"],
            ["validation", "loss"],
            ["validation", "accuracy"],
        ]) {
            assert_eq!(
                Value::from(number(&row[column])),
                epoch[of][what],
                "{of} {what}"
            );
        }
        assert_eq!(number(&row[6]), 0.001);
        assert!(number(&row[7]) >= 0.0);
    }

    let heading = "true class,0,1,2,3,4,5,6,7,8,9";
    let table = rows(&workspace, "out/report/confusion.csv", heading);
    let matrix: Vec<Vec<u64>> = serde_json::from_value(said["confusion"].clone()).unwrap();
    for (label, (row, counts)) in table.iter().zip(&matrix).enumerate() {
        let wanted: Vec<String> = [label as u64]
            .iter()
            .chain(counts)
            .map(u64::to_string)
            .collect();
        assert_eq!(row, &wanted);
    }
    assert_eq!(table.len(), 10);
    assert_eq!(matrix.iter().flatten().sum::<u64>(), 30, "the test records");
    let correct: u64 = (0..10).map(|class| matrix[class][class]).sum();
    assert_eq!(said["test_accuracy"].as_f64(), Some(correct as f64 / 30.0));
    let mut precisions = 0.0;
    for (class, figures) in said["classes"].as_array().unwrap().iter().enumerate() {
        let predicted: u64 = matrix.iter().map(|row| row[class]).sum();
        let precision = matrix[class][class] as f64 / predicted.max(1) as f64;
        precisions += precision;
        assert_eq!(figures["precision"].as_f64(), Some(precision));
        assert_eq!(
            figures["recall"].as_f64(),
            Some(matrix[class][class] as f64 / 3.0)
        );
    }
    // Each class has test records, so each counts.
    assert_eq!(said["macro_precision"].as_f64(), Some(precisions / 10.0));

    let hardest = rows(&workspace, "out/report/hardest.csv", HARDEST);
    let listed = said["hardest"].as_array().unwrap();
    assert_eq!((hardest.len(), listed.len()), (30, 30));
    let mut before = f64::INFINITY;
    for (row, hard) in hardest.iter().zip(listed) {
        for (column, name) in HARDEST.split(',').enumerate() {
            assert_eq!(Some(number(&row[column])), hard[name].as_f64(), "{name}");
        }
        let loss = number(&row[5]);
        assert!(loss <= before, "the hardest first");
        before = loss;
        let record: u32 = row[0].parse().unwrap();
        assert!((90..120).contains(&record), "a test record");
        assert_eq!(number(&row[1]), f64::from(record % 10));
    }
}

#[test]
fn pictures_show_what_the_tables_say() {
    let workspace = Workspace::new();
    workspace.noise();
    workspace.done("train noise -o m.safetensors --hidden 9,7 --epochs 2 --report report");
    let data = idx::read_folder(&workspace.path("noise")).unwrap();
    let hardest = rows(&workspace, "report/hardest.csv", HARDEST);

    let svg = text(&workspace, "report/hardest.svg");
    let document = Document::parse(&svg).unwrap();
    let images: Vec<_> = document
        .descendants()
        .filter(|node| node.has_tag_name("image"))
        .collect();
    assert_eq!(images.len(), hardest.len());
    for (image, row) in images.iter().zip(&hardest) {
        let url = image
            .attribute("href")
            .unwrap()
            .strip_prefix("data:image/png;base64,");
        let png = Base64::decode_vec(url.unwrap()).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(png))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, data.features_of(row[0].parse().unwrap()));
        let tile = image.parent().unwrap().descendants();
        let texts: Vec<&str> = tile
            .filter(|node| node.has_tag_name("text"))
            .filter_map(|node| node.text())
            .map(str::trim)
            .collect();
        assert_eq!(
            texts,
            [
                format!("{} → {}", row[1], row[2]),
                format!("{:.1} %", 100.0 * number(&row[3]))
            ]
        );
    }

    let svg = text(&workspace, "report/confusion.svg");
    let document = Document::parse(&svg).unwrap();
    let shown: u64 = document
        .descendants()
        .filter(|node| node.has_tag_name("text") && node.attribute("style").is_some())
        .filter_map(|node| node.text())
        .map(|count| count.trim().parse::<u64>().unwrap())
        .sum();
    assert_eq!(shown, 30);

    let log = rows(&workspace, "report/log.csv", LOG);
    let svg = text(&workspace, "report/curves.svg");
    let document = Document::parse(&svg).unwrap();
    let texts: Vec<&str> = document
        .descendants()
        .filter_map(|node| node.text())
        .map(str::trim)
        .collect();
    for (column, name) in [
        (2, "training"),
        (3, "training"),
        (4, "validation"),
        (5, "validation"),
    ] {
        let last = number(&log[1][column]);
        let said = match column % 2 {
            0 if last < 1.0 => format!("{last:.4}"),
            0 => format!("{last:.2}"),
            _ => format!("{:.2} %", 100.0 * last),
        };
        assert!(texts.contains(&said.as_str()), "{name} {said} in {texts:?}");
    }
}

#[test]
fn a_run_has_one_report() {
    let workspace = Workspace::new();
    let run = |seed: u32, folder: &str| {
        workspace.done(&format!(
            "train data.csv -o m.safetensors --hidden 9,7 --seed {seed} --report {folder}"
        ));
    };
    run(1, "one");
    run(1, "two --log two/log.csv");
    assert_eq!(rows(&workspace, "two/log.csv", LOG).len(), 5);
    run(2, "three");
    let same = |name: &str, other: &str| {
        workspace.read(&format!("one/{name}")) == workspace.read(&format!("{other}/{name}"))
    };
    for name in names(&workspace, "one") {
        // Only the log has times.
        assert!(name == "log.csv" || same(&name, "two"), "{name}");
    }
    assert!(!same("curves.svg", "three"));
}

#[test]
fn a_table_has_no_pictures_but_names() {
    let workspace = Workspace::new();
    let mut csv = "kind,a,b\n".to_owned();
    for at in 0..60 {
        csv += &format!(
            "{},{},{}\n",
            ["red & <blue>", "\"quoted\"\"\""][at % 2],
            at % 2 * 100 + at,
            7 * at
        );
    }
    workspace.write("named.csv", csv.as_bytes());
    fs::create_dir(workspace.path("report")).unwrap();
    workspace.write("report/hardest.svg", b"of another run");
    workspace.write("report/mine.txt", b"not a report's");
    let said = workspace
        .json("train named.csv --label kind -o m.safetensors --hidden 9,7 --report report");
    let expected = [
        "confusion.csv",
        "confusion.svg",
        "curves.svg",
        "hardest.csv",
        "log.csv",
        "mine.txt",
    ];
    assert_eq!(names(&workspace, "report"), expected);
    assert_eq!(said["report"]["files"].as_array().unwrap().len(), 5);
    let svg = text(&workspace, "report/confusion.svg");
    let document = Document::parse(&svg).unwrap();
    let texts: Vec<&str> = document
        .descendants()
        .filter_map(|node| node.text())
        .map(str::trim)
        .collect();
    for name in ["red & <blue>", "quoted\""] {
        assert!(texts.contains(&name), "{name} in {texts:?}");
    }
    let table = text(&workspace, "report/confusion.csv");
    assert!(table.contains("\"quoted\"\"\""), "{table}");
}

#[test]
fn what_cannot_be_written_is_refused_before_the_work() {
    let workspace = Workspace::new();
    workspace.write("file", b"");
    fs::create_dir_all(workspace.path("taken/curves.svg")).unwrap();
    let train = "train data.csv -o m.safetensors";
    for (options, words) in [
        ("--report file", "file"),
        ("--report taken", "curves.svg"),
        ("--report keys/report", "keys"),
        ("--report keys", "keys"),
        ("--report report --log report/curves.svg", "one place"),
        ("--report . --log hardest.csv", "one place"),
        ("--report . --log ./hardest.csv/x", "one place"),
        ("--log m.safetensors", "one place"),
        ("--log m.safetensors.receipt.json", "one place"),
        ("--log data.csv", "data.csv"),
        ("--log missing/log.csv", "missing/log.csv"),
        ("--log keys", "keys"),
        ("--log /dev/full", "not a regular file"),
    ] {
        workspace.refused(&format!("{train} {options}"), 2, words);
        assert!(!workspace.path("m.safetensors").exists(), "{options}");
    }
    workspace.write("old.csv", b"old");
    workspace.refused(
        "train missing.csv -o m.safetensors --log old.csv",
        2,
        "missing.csv",
    );
    assert_eq!(
        workspace.read("old.csv"),
        b"old",
        "a log begins when the training does"
    );
}

/// What was learnt is kept even if the pictures of it cannot be.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_for_the_report_leaves_the_weights() {
    use sealnet_tests::disk::SmallDisk;

    let workspace = Workspace::new();
    workspace.noise();
    let disk = SmallDisk::mounted_in(&workspace.path(""));
    let train = "train noise -o m.safetensors --hidden 9,7 --epochs 1";
    workspace.refused(
        &format!("{train} --report disk/report"),
        2,
        "no space left on the disk",
    );
    assert!(workspace.path("m.safetensors").is_file());
    assert!(workspace.path("m.safetensors.receipt.json").is_file());
    let there = names(&workspace, "disk/report");
    assert!((1..FILES.len()).contains(&there.len()), "{there:?}");
    for name in there.iter().filter(|name| name.ends_with(".svg")) {
        Document::parse(&text(&workspace, &format!("disk/report/{name}"))).unwrap();
    }

    fs::remove_dir_all(disk.path("report")).unwrap();
    fs::remove_file(workspace.path("m.safetensors")).unwrap();
    fs::write(disk.path("ballast"), vec![1; 16 * 4096]).unwrap();
    workspace.refused(&format!("{train} --log disk/log.csv"), 2, "disk/log.csv");
    assert!(
        !workspace.path("m.safetensors").exists(),
        "refused before the work"
    );
}
