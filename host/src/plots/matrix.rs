//! A table of shaded cells: confusion of classes, attackers by defences.

use svg::node::element::{Group, Title};

use super::figure::{Panel, cut, px, rectangle, text, tip, width_of};
use super::style::{MARGIN, WIDTH};

/// A table of shaded cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// What stands above it.
    pub title: String,
    /// What stands below that.
    pub subtitle: String,
    /// What stands below cells that have numbers: what those are.
    pub note: String,
    /// What the rows are.
    pub row_title: String,
    /// What the columns are.
    pub column_title: String,
    /// The rows' names.
    pub rows: Vec<String>,
    /// The columns' names.
    pub columns: Vec<String>,
    /// `[rows][columns]`.
    pub cells: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// What kind of colour.
    pub tone: Tone,
    /// How much of it, 0 to 1.
    pub shade: f64,
    /// What stands in it, where there is room.
    pub text: String,
    /// What stands below that, where there is more room.
    pub small: String,
    /// All of it in words, for whoever points at it or cannot see it.
    pub tip: String,
}

/// What a cell's colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be: blue.
    Good,
    /// As it should not be: orange.
    Bad,
}

impl Panel for Matrix {
    fn draw(&self) -> (Group, f64) {
        let widest = |names: &[String]| names.iter().map(|name| width_of(name)).fold(0.0, f64::max);
        let left = MARGIN + TITLE + widest(&self.rows).min(MAX_NAME) + 6.0;
        let columns = self.columns.len().max(1) as f64;
        let side = ((WIDTH - MARGIN - left) / columns).min(MAX_CELL);
        let upright = widest(&self.columns) <= side - 2.0;
        let names = if upright {
            14.0
        } else {
            widest(&self.columns).min(MAX_NAME) + 8.0
        };
        let top = HEAD + TITLE + names;
        let height = side.min(MAX_CELL) * self.rows.len() as f64;
        let middle = (left + side * columns / 2.0, top + height / 2.0);
        let mut group = Group::new()
            .add(text(MARGIN, 18.0, "head", &self.title))
            .add(text(MARGIN, 33.0, "soft", &self.subtitle))
            .add(text(
                middle.0,
                HEAD + 8.0,
                "middle soft",
                &self.column_title,
            ))
            .add(text(0.0, 0.0, "middle soft", &self.row_title).set(
                "transform",
                format!(
                    "translate({} {}) rotate(-90)",
                    px(MARGIN + 9.0),
                    px(middle.1)
                ),
            ));
        // Names that would lie on each other are left out, as in a large matrix.
        let every = (MIN_PITCH / side).ceil().max(1.0) as usize;
        for (at, name) in self.columns.iter().enumerate().step_by(every) {
            let x = left + side * (at as f64 + 0.5);
            group = group.add(match upright {
                true => text(x, top - 5.0, "middle", name),
                false => text(0.0, 0.0, "", &cut(name, MAX_NAME)).set(
                    "transform",
                    format!("translate({} {}) rotate(-90)", px(x + 3.5), px(top - 5.0)),
                ),
            });
        }
        for (at, name) in self.rows.iter().enumerate().step_by(every) {
            let y = top + side * (at as f64 + 0.5) + 3.5;
            group = group.add(text(left - 5.0, y, "end", &cut(name, MAX_NAME)));
        }
        for (row, cells) in self.cells.iter().enumerate() {
            for (column, cell) in cells.iter().enumerate() {
                // Thousands of empty cells would say nothing in a large document.
                if side < MIN_PITCH && cell.shade == 0.0 {
                    continue;
                }
                let corner = (left + side * column as f64, top + side * row as f64);
                group = group.add(cell.draw(corner, side));
            }
        }
        let frame = rectangle(left, top, side * columns, height).set("class", "edge");
        group = group.add(frame);
        if side < MIN_PITCH {
            return (group, top + height + MARGIN);
        }
        let foot = top + height + 16.0;
        (
            group.add(text(MARGIN, foot, "soft", &self.note)),
            foot + MARGIN,
        )
    }
}

impl Cell {
    fn draw(&self, (x, y): (f64, f64), side: f64) -> Group {
        let shade = (self.shade.clamp(0.0, 1.0) * 100.0).round() / 100.0;
        let tone = match self.tone {
            Tone::Good => "good",
            Tone::Bad => "bad",
        };
        let title: Title = tip(&self.tip);
        let mut group = Group::new().add(title).add(
            rectangle(x, y, side, side)
                .set("class", format!("cell {tone}"))
                .set("fill-opacity", shade),
        );
        let middle = (x + side / 2.0, y + side / 2.0);
        let on = if shade > MUCH { " on" } else { "" };
        let (fits, both) = (
            side >= MIN_PITCH,
            side >= MIN_FOR_BOTH && !self.small.is_empty(),
        );
        if fits && !self.text.is_empty() {
            let y = middle.1 + if both { -0.5 } else { 3.5 };
            let size = (side / self.text.chars().count().max(2) as f64 / 0.62).min(11.0);
            let quiet = if shade == 0.0 { " soft" } else { on };
            group = group.add(
                text(middle.0, y, &format!("middle{quiet}"), &self.text)
                    .set("style", format!("font-size:{}px", px(size))),
            );
        }
        if both {
            group = group.add(text(
                middle.0,
                middle.1 + 10.5,
                &format!("middle small{on}"),
                &self.small,
            ));
        }
        group
    }
}

/// Above the columns' title.
const HEAD: f64 = 42.0;
/// A title along a side.
const TITLE: f64 = 17.0;
/// A cell is no larger than this, and a name no longer.
const MAX_CELL: f64 = 64.0;
const MAX_NAME: f64 = 100.0;
/// The smallest cell with text, and the smallest with two lines of it.
const MIN_PITCH: f64 = 13.0;
const MIN_FOR_BOTH: f64 = 27.0;
/// From this shade on text is written in the background's colour, which then has the greater contrast.
const MUCH: f64 = 0.75;
