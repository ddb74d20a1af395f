//! The document: panels below each other on one background.

use sealnet_firmware::visible::visible;
use svg::Document;
use svg::node::element::{Description, Group, Line, Rectangle, Style, Text, Title};

use super::style::{CSS, LETTER, WIDTH};

/// One document of one or more panels.
#[derive(Debug, Clone)]
pub struct Figure {
    title: String,
    description: String,
    panels: Vec<(Group, f64)>,
}

/// What can be put into a [`Figure`].
pub(super) trait Panel {
    /// The drawing with its upper left corner at (0, 0), and its height.
    fn draw(&self) -> (Group, f64);
}

impl Figure {
    /// An empty one. Title and description are read to whoever cannot see it.
    pub fn new(title: &str, description: &str) -> Figure {
        Figure {
            title: title.to_owned(),
            description: description.to_owned(),
            panels: Vec::new(),
        }
    }

    /// With one more panel below.
    #[expect(
        private_bounds,
        reason = "the kinds of panels are those of this module"
    )]
    #[must_use]
    pub fn with(mut self, panel: &impl Panel) -> Figure {
        self.panels.push(panel.draw());
        self
    }

    /// The document.
    pub fn to_svg(&self) -> String {
        let height: f64 = self.panels.iter().map(|(_, height)| height).sum();
        let mut document = Document::new()
            .set("class", "plot")
            .set("role", "img")
            .set("aria-label", plain(&self.title))
            .set("viewBox", (0, 0, WIDTH, px(height)))
            .set("width", px(WIDTH * ENLARGED))
            .set("height", px(height * ENLARGED))
            .add(Title::new(plain(&self.title)))
            .add(Description::new().add(svg::node::Text::new(plain(&self.description))))
            .add(Style::new(CSS))
            .add(rectangle(0.0, 0.0, WIDTH, height).set("class", "back"));
        let mut top = 0.0;
        for (panel, height) in &self.panels {
            let place = format!("translate(0 {})", px(top));
            document = document.add(panel.clone().set("transform", place));
            top += height;
        }
        let mut text = document.to_string();
        text.push('\n');
        text
    }
}

/// A coordinate to a tenth of a unit.
pub(super) fn px(value: f64) -> f64 {
    // Adding zero makes a negative zero positive.
    (value * 10.0).round() / 10.0 + 0.0
}

/// Text at a place. XML knows neither control characters nor U+FFFE and U+FFFF.
pub(super) fn text(x: f64, y: f64, class: &str, content: &str) -> Text {
    let mut text = Text::new(plain(content)).set("x", px(x)).set("y", px(y));
    if !class.is_empty() {
        text = text.set("class", class);
    }
    text
}

pub(super) fn rectangle(x: f64, y: f64, width: f64, height: f64) -> Rectangle {
    Rectangle::new()
        .set("x", px(x))
        .set("y", px(y))
        .set("width", px(width))
        .set("height", px(height))
}

pub(super) fn line(from: (f64, f64), to: (f64, f64), class: &str) -> Line {
    Line::new()
        .set("x1", px(from.0))
        .set("y1", px(from.1))
        .set("x2", px(to.0))
        .set("y2", px(to.1))
        .set("class", class)
}

/// What is shown when it is pointed at.
pub(super) fn tip(content: &str) -> Title {
    Title::new(plain(content))
}

/// About how wide a text is.
pub(super) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// As much of a text as has room.
pub(super) fn cut(text: &str, room: f64) -> String {
    let fits = (room / LETTER).max(1.0) as usize;
    if text.chars().count() <= fits {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(fits.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn plain(text: &str) -> String {
    visible(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

/// How much larger it is shown where there is room.
const ENLARGED: f64 = 1.5;
