//! Documents are read back with an XML parser.

use base64ct::{Base64, Encoding};
use roxmltree::{Document, Node};

use super::*;

fn axis(from: Option<f64>, to: Option<f64>, unit: Unit) -> Axis {
    Axis {
        label: "epsilon".into(),
        from,
        to,
        unit,
    }
}

fn chart(series: &[(&str, &[f64])]) -> LineChart {
    LineChart {
        title: "Accuracy".into(),
        x: axis(None, None, Unit::Whole),
        y: axis(None, Some(1.0), Unit::Percent),
        series: series
            .iter()
            .map(|(name, values)| Series {
                name: (*name).into(),
                points: (1..).map(f64::from).zip(values.iter().copied()).collect(),
            })
            .collect(),
        marks: vec![],
    }
}

fn matrix(names: &[&str]) -> Matrix {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let cell = |row: usize, column: usize| Cell {
        tone: if row == column { Tone::Good } else { Tone::Bad },
        shade: if row == column { 0.9 } else { 0.0 },
        text: format!("{row}{column}"),
        small: format!("{column}%"),
        tip: format!("row {row}, column {column}"),
    };
    let row = |row| (0..names.len()).map(|column| cell(row, column)).collect();
    Matrix {
        title: "Matrix".into(),
        subtitle: "numbers".into(),
        note: "note".into(),
        row_title: "attacker".into(),
        column_title: "defence".into(),
        cells: (0..names.len()).map(row).collect(),
        rows: names.clone(),
        columns: names,
    }
}

fn grid(pictures: &[Picture]) -> PictureGrid {
    let tile = |picture: &Picture| Tile {
        picture: picture.clone(),
        caption: "4 → 9".into(),
        small: "51.0 %".into(),
        tip: "a four".into(),
    };
    PictureGrid {
        title: "Pictures".into(),
        subtitle: "of digits".into(),
        columns: 2,
        tiles: pictures.iter().map(tile).collect(),
    }
}

fn named<'a>(document: &'a Document<'_>, name: &str) -> Vec<Node<'a, 'a>> {
    let nodes = document.descendants();
    nodes
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", name)))
        .collect()
}

fn texts<'a>(document: &'a Document<'_>) -> Vec<&'a str> {
    named(document, "text")
        .iter()
        .filter_map(Node::text)
        .map(str::trim)
        .collect()
}

#[test]
fn documents_go_into_any_page() {
    let picture = Picture::new(2, 3, &[0, 50, 100, 150, 200, 255]).unwrap();
    let figure = Figure::new("A title", "What it shows")
        .with(&chart(&[("one", &[0.5, 0.75])]))
        .with(&matrix(&["a", "b"]))
        .with(&grid(&[picture]));
    let svg = figure.to_svg();
    let document = Document::parse(&svg).unwrap();
    let root = document.root_element();
    assert_eq!(
        (root.attribute("class"), root.attribute("role")),
        (Some("plot"), Some("img"))
    );
    assert_eq!(root.first_element_child().unwrap().text(), Some("A title"));
    assert_eq!(named(&document, "desc")[0].text(), Some("What it shows"));
    let style = named(&document, "style")[0].text().unwrap();
    assert!(style.contains("@media (prefers-color-scheme:dark)"));
    for rule in style
        .lines()
        .filter(|line| line.contains('{') && !line.starts_with('@'))
    {
        assert!(rule.starts_with(".plot"), "holds in the whole page: {rule}");
    }
    for node in document.descendants() {
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(name != "id", "two figures in one page would have it twice");
            assert!(
                !value.contains('#'),
                "a colour that knows no scheme: {name}={value}"
            );
            assert!(
                !value.contains("NaN") && !value.contains("inf"),
                "{name}={value}"
            );
        }
    }
    assert_eq!(svg, figure.to_svg());
}

#[test]
fn names_may_be_anything() {
    let hostile = "<b>&\"'\u{0}\u{1b}[31m\u{202e}\u{fffe}]]>";
    let figure = Figure::new(hostile, hostile)
        .with(&chart(&[(hostile, &[0.5])]))
        .with(&matrix(&[hostile, "b"]));
    let svg = figure.to_svg();
    let document = Document::parse(&svg).unwrap();
    let title = document
        .root_element()
        .first_element_child()
        .unwrap()
        .text();
    assert_eq!(title, Some("<b>&\"'\\u{0}\\u{1b}[31m\\u{202e}\u{fffd}]]>"));
}

/// How often the first line begins, and how often it goes on.
fn strokes(document: &Document<'_>) -> (usize, usize) {
    let path = named(document, "path")[0].attribute("d").unwrap();
    (path.matches('M').count(), path.matches('L').count())
}

#[test]
fn a_line_has_its_points_its_gaps_and_its_last_value() {
    let values = [0.5, 0.625, f64::NAN, 0.75, 0.875];
    let svg = Figure::new("", "")
        .with(&chart(&[("network", &values)]))
        .to_svg();
    let document = Document::parse(&svg).unwrap();
    assert_eq!(strokes(&document), (2, 2));
    // What begins somewhere is not joined to what was before.
    let mut parted = chart(&[("network", &values)]);
    parted.marks = [1.0, 2.0]
        .map(|x| Mark {
            x,
            label: "phase".into(),
        })
        .into();
    let parted = Figure::new("", "").with(&parted).to_svg();
    let parted = Document::parse(&parted).unwrap();
    assert_eq!(strokes(&parted), (3, 1));
    let heights: Vec<f64> = named(&document, "circle")
        .iter()
        .map(|dot| dot.attribute("cy").unwrap().parse().unwrap())
        .collect();
    assert_eq!(heights.len(), 4);
    // 40 % and 100 % are the ends of the axis, at 160 and 32.
    assert_eq!(heights, [138.7, 112.0, 85.3, 58.7]);
    let texts = texts(&document);
    for text in ["network", "87.50 %", "40 %", "100 %", "epsilon", "5"] {
        assert!(texts.contains(&text), "{text} in {texts:?}");
    }
}

#[test]
fn names_of_lines_do_not_lie_on_each_other() {
    let close: Vec<(&str, &[f64])> = ["a", "b", "c", "d"]
        .map(|name| (name, &[0.5, 0.5][..]))
        .into();
    for lines in [
        &close[..],
        &close[..2],
        &[("low", &[0.0]), ("high", &[1.0])],
    ] {
        let svg = Figure::new("", "").with(&chart(lines)).to_svg();
        let document = Document::parse(&svg).unwrap();
        let mut at: Vec<f64> = named(&document, "text")
            .iter()
            .filter(|text| {
                text.attribute("class")
                    .is_some_and(|class| class.ends_with(" strong"))
            })
            .map(|text| text.attribute("y").unwrap().parse().unwrap())
            .collect();
        at.sort_by(f64::total_cmp);
        assert_eq!(at.len(), lines.len());
        assert!(
            at.windows(2).all(|pair| pair[1] - pair[0] >= 26.9),
            "{at:?}"
        );
        assert!(at[0] >= 20.0 && at[at.len() - 1] <= 160.0, "{at:?}");
    }
}

#[test]
fn a_matrix_says_its_cells_as_far_as_there_is_room() {
    let names = |count: usize| -> Vec<String> { (0..count).map(|at| at.to_string()).collect() };
    for (count, both, any) in [
        (2, true, true),
        (10, true, true),
        (20, false, true),
        (60, false, false),
    ] {
        let names = names(count);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let svg = Figure::new("", "").with(&matrix(&names)).to_svg();
        let document = Document::parse(&svg).unwrap();
        let texts = texts(&document);
        assert_eq!(texts.contains(&"01"), any, "{count}");
        assert_eq!(texts.contains(&"1%"), both, "{count}");
        assert_eq!(texts.contains(&"note"), any, "{count}");
        // What is empty is left out where it has no text either: background and frame, and the diagonal.
        let cells = if any { count * count } else { count };
        assert_eq!(named(&document, "rect").len(), cells + 2, "{count}");
        assert!(svg.contains("row 1, column 1"));
    }
}

#[test]
fn pictures_are_what_they_were() {
    let pixels: Vec<u8> = (0..28 * 14).map(|at| (at * 7 % 256) as u8).collect();
    let picture = Picture::new(28, 14, &pixels).unwrap();
    let svg = Figure::new("", "")
        .with(&grid(&[picture.clone(), picture]))
        .to_svg();
    let document = Document::parse(&svg).unwrap();
    let images = named(&document, "image");
    assert_eq!(images.len(), 2);
    for image in images {
        let url = image.attribute("href").unwrap();
        let png = Base64::decode_vec(url.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(png))
            .read_info()
            .unwrap();
        let mut found = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut found).unwrap();
        assert_eq!(
            (info.width, info.height, info.color_type),
            (14, 28, png::ColorType::Grayscale)
        );
        assert_eq!(found, pixels);
        let side = |name| -> f64 { image.attribute(name).unwrap().parse().unwrap() };
        assert!(
            (side("height") - 2.0 * side("width")).abs() <= 0.2,
            "not distorted"
        );
    }
}

#[test]
fn what_is_no_picture_is_none() {
    for (height, width, pixels) in [(0, 0, 0), (1, 4, 3), (513, 1, 513), (usize::MAX, 2, 0)] {
        assert_eq!(Picture::new(height, width, &vec![0; pixels]), None);
    }
}

#[test]
fn nothing_is_a_figure_too() {
    let figure = Figure::new("", "")
        .with(&chart(&[]))
        .with(&matrix(&[]))
        .with(&grid(&[]));
    Document::parse(&figure.to_svg()).unwrap();
}

/// Text and lines against their background (WCAG 2.2, 1.4.3): at least 4.5.
#[test]
fn colours_have_contrast() {
    let luminance = |colour: &str| -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    };
    let (light, dark) = style::CSS.split_once("@media").unwrap();
    let mut judged = 0;
    for scheme in [light, dark] {
        let colour = |class: &str| {
            let rule = scheme
                .split(&format!(".plot {class}{{fill:"))
                .nth(1)
                .unwrap();
            luminance(&rule[..7])
        };
        let back = colour(".back");
        for class in [
            "text", ".soft", ".f0", ".f1", ".f2", ".f3", ".f4", ".good", ".bad",
        ] {
            let front = colour(class);
            let contrast = (front.max(back) + 0.05) / (front.min(back) + 0.05);
            assert!(contrast >= 4.5, "{class}: {contrast}");
            judged += 1;
        }
        assert_eq!(colour(".on"), back);
    }
    assert_eq!(judged, 18);
}
