//! Data sets: what is read right, and a zoo of files that must be refused with a reason.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use sealnet::dataset::csv::{self, LabelColumn};
use sealnet::dataset::{self, Dataset, LoadOptions, idx};
use sealnet::error::Error;
use sealnet::progress::Silent;
use tempfile::TempDir;

/// An IDX file of unsigned bytes.
fn idx_bytes(sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    for size in sizes {
        bytes.extend(size.to_be_bytes());
    }
    bytes.extend(values);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A folder of three training records and one test record of 2 by 2 pixels.
fn small_folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let pixels: Vec<u8> = (0..16).collect();
    let files = [
        (
            "train-images-idx3-ubyte",
            idx_bytes(&[3, 2, 2], &pixels[..12]),
        ),
        ("train-labels-idx1-ubyte", idx_bytes(&[3], &[2, 0, 1])),
        (
            "t10k-images-idx3-ubyte",
            idx_bytes(&[1, 2, 2], &pixels[12..]),
        ),
        ("t10k-labels-idx1-ubyte", idx_bytes(&[1], &[1])),
    ];
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// What reading says about a folder that is not as it must be: an input error, never a panic.
fn refused(folder: &Path) -> String {
    match idx::read_folder(folder) {
        Ok(data) => panic!("read as {} records", data.count()),
        Err(error) => {
            assert_eq!(error.exit_code(), 2);
            format!("{error}; {}", error.hint())
        }
    }
}

#[test]
fn a_folder_is_read_and_written_alike() {
    let dir = small_folder();
    let data = idx::read_folder(dir.path()).unwrap();
    assert_eq!(
        (data.count(), data.classes, &data.shape),
        (4, 3, &vec![2, 2])
    );
    assert_eq!(data.labels, [2, 0, 1, 1]);
    assert_eq!(data.features_of(3), [12, 13, 14, 15]);
    let parts: Vec<_> = data
        .parts
        .iter()
        .map(|p| (p.name.as_str(), p.start, p.len))
        .collect();
    assert_eq!(parts, [("train", 0, 3), ("test", 3, 1)]);

    let copy = dir.path().join("copy");
    dataset::save(&copy, &data).unwrap();
    let again = idx::read_folder(&copy).unwrap();
    assert_eq!(
        again,
        Dataset {
            name: "copy".into(),
            ..data.clone()
        }
    );
    assert!(dataset::save(&copy, &data).is_err(), "never overwritten");
    for name in ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        let original = fs::read(dir.path().join(name)).unwrap();
        assert_eq!(fs::read(copy.join(name)).unwrap(), original);
    }
}

#[test]
fn gzipped_and_dotted_names_are_read() {
    let dir = small_folder();
    let expected = idx::read_folder(dir.path()).unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = gzip(&fs::read(&path).unwrap());
        let dotted = path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace("-idx", ".idx");
        fs::write(path.with_file_name(format!("{dotted}.gz")), bytes).unwrap();
        fs::remove_file(path).unwrap();
    }
    assert_eq!(idx::read_folder(dir.path()).unwrap(), expected);
}

#[test]
fn other_shapes_and_parts() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| fs::write(dir.path().join(name), bytes).unwrap();
    write("spare-images-idx2-ubyte", idx_bytes(&[2, 5], &[7; 10]));
    write("spare-labels-idx1-ubyte", idx_bytes(&[2], &[0, 9]));
    write("notes.txt", b"not data".to_vec());
    let data = idx::read_folder(dir.path()).unwrap();
    assert_eq!((data.shape.as_slice(), data.classes), (&[5][..], 10));
    assert_eq!(data.parts[0].name, "spare");
}

#[test]
fn damaged_idx_files_are_named() {
    let images = idx_bytes(&[3, 2, 2], &[0; 12]);
    let with = |at: usize, byte: u8| {
        let mut bytes = images.clone();
        bytes[at] = byte;
        bytes
    };
    let mut longer = images.clone();
    longer.push(0);
    let zoo: [(&str, Vec<u8>, &str); 13] = [
        ("empty", Vec::new(), "cut short in its header"),
        ("one byte", vec![0], "cut short in its header"),
        (
            "header cut",
            images[..9].to_vec(),
            "cut short in its header",
        ),
        (
            "values cut",
            images[..images.len() - 1].to_vec(),
            "more than it can hold",
        ),
        ("one byte more", longer, "goes on after the values"),
        (
            "text",
            b"<html>404</html>".to_vec(),
            "not an IDX file: it begins with 3c68746d",
        ),
        ("magic", with(0, 1), "not an IDX file"),
        ("floats", with(2, 0x0D), "type 0x0d"),
        ("no dimension", with(3, 0), "0 dimensions"),
        ("many dimensions", with(3, 255), "255 dimensions"),
        ("no records", idx_bytes(&[0, 2, 2], &[]), "it is empty"),
        ("no pixels", idx_bytes(&[3, 0, 2], &[]), "it is empty"),
        (
            "huge",
            idx_bytes(&[u32::MAX; 4], &[0; 12]),
            "more than it can hold",
        ),
    ];
    for (case, bytes, reason) in zoo {
        let dir = small_folder();
        fs::write(dir.path().join("train-images-idx3-ubyte"), bytes).unwrap();
        let said = refused(dir.path());
        assert!(said.contains(reason), "{case}: {said}");
        assert!(said.contains("train-images-idx3-ubyte"), "{case}: {said}");
    }
}

#[test]
fn damaged_gzip_is_refused() {
    let images = idx_bytes(&[3, 2, 2], &[0; 12]);
    let whole = gzip(&images);
    let mut spoiled = whole.clone();
    let middle = spoiled.len() - 6;
    spoiled[middle] ^= 1;
    // Announces 4 GiB in a few bytes.
    let bomb = gzip(&idx_bytes(&[1 << 20, 64, 64], &[0; 1000]));
    for (case, bytes) in [
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("checksum", spoiled),
        ("not gzip", images),
        ("bomb", bomb),
    ] {
        let dir = small_folder();
        fs::remove_file(dir.path().join("train-images-idx3-ubyte")).unwrap();
        fs::write(dir.path().join("train-images-idx3-ubyte.gz"), bytes).unwrap();
        let said = refused(dir.path());
        assert!(said.contains(".gz"), "{case}: {said}");
    }
}

#[test]
fn pairs_must_match() {
    let dir = small_folder();
    fs::write(
        dir.path().join("train-labels-idx1-ubyte"),
        idx_bytes(&[2], &[0, 1]),
    )
    .unwrap();
    assert!(refused(dir.path()).contains("3 images but"));

    let dir = small_folder();
    fs::remove_file(dir.path().join("t10k-labels-idx1-ubyte")).unwrap();
    assert!(refused(dir.path()).contains("no labels beside it"));

    let dir = small_folder();
    fs::remove_file(dir.path().join("train-images-idx3-ubyte")).unwrap();
    assert!(refused(dir.path()).contains("no images beside it"));

    let dir = small_folder();
    let labels = idx_bytes(&[3, 1], &[0, 1, 2]);
    fs::write(dir.path().join("train-labels-idx1-ubyte"), labels).unwrap();
    assert!(refused(dir.path()).contains("labels have one dimension"));

    let dir = small_folder();
    let images = idx_bytes(&[3, 1, 2], &[0; 6]);
    fs::write(dir.path().join("train-images-idx3-ubyte"), images).unwrap();
    assert!(refused(dir.path()).contains("of shape [2, 2]"));

    let dir = tempfile::tempdir().unwrap();
    assert!(refused(dir.path()).contains("no IDX files"));
    assert!(refused(&dir.path().join("absent")).contains("no such file or folder"));
}

#[test]
fn a_data_argument_can_be_many_things() {
    let dir = small_folder();
    let load =
        |path: PathBuf| dataset::load(path.to_str().unwrap(), &LoadOptions::default(), &Silent);
    assert_eq!(load(dir.path().to_owned()).unwrap().count(), 4);
    let one = load(dir.path().join("train-images-idx3-ubyte")).unwrap_err();
    assert!(one.to_string().contains("a single IDX file"), "{one}");
    assert!(load(dir.path().join("absent.csv")).is_err());
    fs::write(dir.path().join("x.csv"), "0,1\n1,2\n").unwrap();
    assert_eq!(load(dir.path().join("x.csv")).unwrap().name, "x");
}

fn csv_of(text: &str, label: &str) -> Result<Dataset, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.csv");
    fs::write(&path, text).unwrap();
    csv::read(&path, &LabelColumn::parse(label))
}

#[test]
fn csv_of_bytes_stays_as_it_is() {
    let data = csv_of("3,0,255\n0,7,8.0\n", "first").unwrap();
    assert_eq!(
        (data.count(), data.classes, data.shape.as_slice()),
        (2, 4, &[2][..])
    );
    assert_eq!(data.features, [0, 255, 7, 8]);
    assert_eq!((&data.scaling, &data.class_names), (&None, &None));
    assert_eq!(data.parts[0].name, "all");
    // With a heading, a byte-order mark, Windows line ends, spaces, and no newline at the end.
    let same = csv_of("\u{FEFF}label,a,b\r\n3, 0 ,255\r\n0,7,8", "first").unwrap();
    assert_eq!(same.features, data.features);
}

#[test]
fn csv_of_reals_is_scaled_and_comes_back() {
    let text = "width,species,length\n0.5,oak,-1\n1.5,\"ash, common\",3\n1.0,oak,1\n";
    let data = csv_of(text, "species").unwrap();
    assert_eq!(data.class_names.as_deref().unwrap(), ["ash, common", "oak"]);
    assert_eq!(data.labels, [1, 0, 1]);
    let columns = data.scaling.as_deref().unwrap();
    assert_eq!(
        (columns[0].name.as_str(), columns[1].name.as_str()),
        ("width", "length")
    );
    for (row, reals) in [[0.5, -1.0], [1.5, 3.0], [1.0, 1.0]].iter().enumerate() {
        for ((column, &feature), real) in columns.iter().zip(data.features_of(row)).zip(reals) {
            assert!((column.real(feature) - real).abs() <= column.scale / 2.0 + 1e-12);
        }
    }

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("again.csv");
    dataset::save(&path, &data).unwrap();
    let again = csv::read(&path, &LabelColumn::First).unwrap();
    assert_eq!(again.features, data.features);
    assert_eq!(
        (again.labels, again.class_names),
        (data.labels.clone(), data.class_names.clone())
    );
    assert!(dataset::save(&path, &data).is_err(), "never overwritten");
    assert!(
        dataset::save(&dir.path().join("folder"), &data).is_err(),
        "IDX holds bytes only"
    );
}

#[test]
fn malformed_csv_is_refused_with_its_line() {
    let many: String = (0..1100).map(|n| format!("name {n},1\n")).collect();
    let wide = format!("0{}\n", ",1".repeat(70_000));
    let zoo: [(&str, &str, &str); 22] = [
        ("", "first", "holds no records"),
        ("label,a\n", "first", "holds no records"),
        ("\n\n\n", "first", "holds no records"),
        (
            "0,1\n1,2,3\n",
            "first",
            "line 2: 3 cells where the first row has 2",
        ),
        ("0,1,2\n1,2\n", "first", "line 2: 2 cells"),
        ("0,1\n1,\n", "first", "line 2: column 2 is empty"),
        ("0,1\n,2\n", "first", "line 2: column 1 is empty"),
        (
            "0,1\n1,x\n",
            "first",
            "line 2: column 2 is \"x\", not a number",
        ),
        (
            "label,size\n0,1\n1,x\n",
            "first",
            "line 3: column 2 (size) is \"x\"",
        ),
        (
            "0,1\n1,NaN\n",
            "first",
            "line 2: column 2 is NaN, not a finite number",
        ),
        ("0,1\n1,-inf\n", "first", "not a finite number"),
        ("0,1\n1,1e300\n", "first", "beyond"),
        ("0;1\n1;2\n", "first", "not by semicolons"),
        ("a,b\n0,1\n", "species", "no column \"species\""),
        ("a,a\n0,1\n", "a", "two columns are called \"a\""),
        ("l,a,a\n0,1,2\n", "first", "two columns are called \"a\""),
        (
            "0,1\n1,2\n\"2,3\n3,4\n",
            "first",
            "line 3: a quotation begins here and never ends",
        ),
        (
            "\"label,a\n0,1\n",
            "first",
            "line 1: a quotation begins here and never ends",
        ),
        (
            "label,a\n\"x\"\"\ny,1\n",
            "first",
            "line 2: a quotation begins here and never ends",
        ),
        (&many, "first", "1100 classes in 1100 records"),
        ("0,1_000\n1,16\n", "first", "line 1"),
        (&wide, "first", "70000 features; at most 65535"),
    ];
    for (text, label, reason) in zoo {
        let error = csv_of(text, label).unwrap_err();
        let said = format!("{error}; {}", error.hint());
        assert_eq!(error.exit_code(), 2);
        assert!(said.contains(reason), "{reason:?}: {said}");
        assert!(said.contains("data.csv"), "{said}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.csv");
    fs::write(&path, b"0,1\n1,\xFF\n").unwrap();
    let error = csv::read(&path, &LabelColumn::First).unwrap_err();
    assert!(
        error.to_string().contains("line 2: a cell is not UTF-8"),
        "{error}"
    );
    assert!(csv::read(dir.path(), &LabelColumn::First).is_err());
}
