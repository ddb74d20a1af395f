//! Charts as SVG documents that stand alone or go into a page as they are.
//!
//! - They are drawn for a phone: 360 units wide, text of 8 units and more, and grow with the page.
//! - They follow the reader's light or dark scheme by CSS inside the document. Its rules only hold inside of
//!   an element of class `plot`, and there are no ids, so that several fit in one page.
//! - Text is text, the document has a title and a description, and what only a colour says is also said by a
//!   label, a dash or a tooltip. The colours are told apart with any kind of colour blindness.
//! - The same input gives the same bytes.

mod figure;
mod grid;
mod line;
mod matrix;
mod picture;
mod scale;
mod style;
#[cfg(test)]
mod tests;

pub use figure::Figure;
pub use grid::{PictureGrid, Tile};
pub use line::{Axis, LineChart, Mark, Series};
pub use matrix::{Cell, Matrix, Tone};
pub use picture::Picture;
pub use scale::Unit;
