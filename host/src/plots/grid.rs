//! Pictures in rows, each with two lines below it.

use svg::node::element::{Group, Image};

use super::Picture;
use super::figure::{Panel, cut, px, rectangle, text, tip};
use super::style::{MARGIN, WIDTH};

/// Pictures in rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureGrid {
    /// What stands above it.
    pub title: String,
    /// What the lines below each picture are.
    pub subtitle: String,
    /// Pictures a row.
    pub columns: usize,
    /// The pictures, row by row.
    pub tiles: Vec<Tile>,
}

/// A picture and what stands below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// The picture.
    pub picture: Picture,
    /// The first line below.
    pub caption: String,
    /// The second.
    pub small: String,
    /// All of it in words, for whoever points at it or cannot see it.
    pub tip: String,
}

impl Panel for PictureGrid {
    fn draw(&self) -> (Group, f64) {
        let columns = self.columns.max(1);
        let pitch = (WIDTH - 2.0 * MARGIN + GAP) / columns as f64;
        let side = pitch - GAP;
        // Wide pictures make low rows.
        let flattest = self
            .tiles
            .iter()
            .map(|tile| tile.picture.aspect())
            .fold(f64::INFINITY, f64::min);
        let room = if flattest.is_finite() {
            (side / flattest).min(side)
        } else {
            side
        };
        let row = room + CAPTIONS;
        let mut group = Group::new()
            .add(text(MARGIN, 18.0, "head", &self.title))
            .add(text(MARGIN, 33.0, "soft", &self.subtitle));
        for (at, tile) in self.tiles.iter().enumerate() {
            let left = MARGIN + pitch * (at % columns) as f64;
            let top = HEAD + row * (at / columns) as f64;
            let aspect = tile.picture.aspect();
            let width = side.min(room * aspect);
            let height = width / aspect;
            let x = left + (side - width) / 2.0;
            let y = top + (room - height) / 2.0;
            let middle = left + side / 2.0;
            let image = Image::new()
                .set("x", px(x))
                .set("y", px(y))
                .set("width", px(width))
                .set("height", px(height))
                .set("href", tile.picture.to_url());
            group = group.add(
                Group::new()
                    .add(tip(&tile.tip))
                    .add(image)
                    .add(rectangle(x, y, width, height).set("class", "edge"))
                    .add(text(
                        middle,
                        top + room + 13.0,
                        "middle strong",
                        &cut(&tile.caption, side + GAP),
                    ))
                    .add(text(
                        middle,
                        top + room + 24.5,
                        "middle soft small",
                        &tile.small,
                    )),
            );
        }
        let rows = self.tiles.len().div_ceil(columns);
        (group, HEAD + row * rows as f64 + MARGIN / 2.0)
    }
}

/// Between two pictures.
const GAP: f64 = 10.0;
/// Above the first row.
const HEAD: f64 = 44.0;
/// Below each picture.
const CAPTIONS: f64 = 35.0;
