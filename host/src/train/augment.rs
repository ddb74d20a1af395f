//! Small random changes of images, so that a network sees each record otherwise every time.
//!
//! Coordinates are in pixels, `x` to the right and `y` down; arithmetic is f32, each operation rounded once, from
//! left to right as written. For an image of `h` lines and `w` columns, with `u` numbers of [`Random::unit`] in the
//! order of their mention and `s = 2u - 1`. They are those of [`Random::of_record`] for the record's number in the
//! data: a network's epoch `e` (from 1) draws from [`Stream::Augmentation`](crate::random::Stream::Augmentation) under
//! `e - 1`, or, where a teacher has answered `v` variants, under `(e - 1) mod v`.
//!
//! 1. If `u ≥ share` the image stays as it is.
//! 2. `θ = s · rotation · (π/180)`, the last factor one number, `fx = 1 + s · scale`, `fy = 1 + s · scale`, `k = s · shear`, `tx = s · shift`,
//!    `ty = s · shift`. With `c` and `n` the cosine and sine of θ (`libm`), the matrix is
//!    `a = c·fx`, `b = (k·c - n)·fx`, `d = n·fy`, `e = (c + k·n)·fy`.
//! 3. A grid of 7 by 7 displacements over the image, corner to corner, line by line, `dx` before `dy`: each is
//!    `(u + u + u - 1.5) · 2 · elastic`, about normal with that deviation. Column `x` lies at `x · (6 / (w - 1))` (`w` at
//!    least 2 here), line `y` so, before the last of the grid's; displacements are mixed down, then across, each as
//!    `a + (b - a) · share`.
//! 4. The pixel at `(x, y)` comes from `(a·x' + b·y' + tx + dx + w' + 2, d·x' + e·y' + ty + dy + h' + 2)` with
//!    `w' = (w - 1)/2`, `x' = x - w'`, and so for `y`, in the image with a black border of 2, each kept within 0 and
//!    `w + 2` or `h + 2`; mixed across, then down, of the four pixels around; then 0.5 more, rounded down.

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// How far images are changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Share of the images that are changed, 0 to 1.
    pub share: f32,
    /// Turned by up to this many degrees either way.
    pub rotation: f32,
    /// Wider and higher, each by up to this share either way.
    pub scale: f32,
    /// Slanted by up to this many columns a line either way.
    pub shear: f32,
    /// Moved by up to this many pixels either way, across and down.
    pub shift: f32,
    /// Bent: the standard deviation of the displacements, in pixels.
    pub elastic: f32,
}

impl Augmentation {
    /// Writes what becomes of `image`, `[lines][columns]`.
    pub(crate) fn apply(
        &self,
        image: &[u8],
        [lines, columns]: [usize; 2],
        random: &mut Random,
        out: &mut [u8],
        room: &mut Room,
    ) {
        if random.unit() >= self.share {
            out.copy_from_slice(image);
            return;
        }
        let mut signed = |most: f32| (2.0 * random.unit() - 1.0) * most;
        let angle = signed(self.rotation) * (std::f32::consts::PI / 180.0);
        let (across, down) = (1.0 + signed(self.scale), 1.0 + signed(self.scale));
        let slant = signed(self.shear);
        let shift = [signed(self.shift), signed(self.shift)];
        let (sine, cosine) = (libm::sinf(angle), libm::cosf(angle));
        let [a, b] = [cosine * across, (slant * cosine - sine) * across];
        let [d, e] = [sine * down, (cosine + slant * sine) * down];
        let mut bent =
            || (random.unit() + random.unit() + random.unit() - 1.5) * 2.0 * self.elastic;
        let mut grid = [[0.0f32; 2 * GRID]; GRID];
        for line in &mut grid {
            // Those across first, then those down: two rows to interpolate along.
            for column in 0..GRID {
                line[column] = bent();
                line[GRID + column] = bent();
            }
        }

        room.fit([lines, columns]);
        room.border(image, columns);
        let middle = [columns, lines].map(|length| (length - 1) as f32 / 2.0);
        let most = [columns, lines].map(|length| (length + BORDER) as f32);
        let width = columns + 2 * BORDER;
        for (y, out) in out.chunks_exact_mut(columns).enumerate() {
            let (above, share) = room.down[y];
            let mut row = [0.0f32; 2 * GRID];
            for ((to, &from), &next) in row.iter_mut().zip(&grid[above]).zip(&grid[above + 1]) {
                *to = from + (next - from) * share;
            }
            let y = y as f32 - middle[1];
            let places = room.across.iter().zip(&mut room.places).enumerate();
            for (x, (&(left, share), place)) in places {
                let bend = |from: usize| {
                    row[from + left] + (row[from + left + 1] - row[from + left]) * share
                };
                let x = x as f32 - middle[0];
                let across = a * x + b * y + shift[0] + bend(0) + middle[0] + BORDER as f32;
                let down = d * x + e * y + shift[1] + bend(GRID) + middle[1] + BORDER as f32;
                *place = [across.clamp(0.0, most[0]), down.clamp(0.0, most[1])];
            }
            for (to, &[across, down]) in out.iter_mut().zip(&room.places) {
                let (left, above) = (across as usize, down as usize);
                let [x, y] = [across - left as f32, down - above as f32];
                let at = above * width + left;
                let pair = |at: usize| match room.bordered[at..].first_chunk::<2>() {
                    Some(&[one, next]) => f32::from(one) + (f32::from(next) - f32::from(one)) * x,
                    None => 0.0,
                };
                let (above, below) = (pair(at), pair(at + width));
                // Within 0.5 and 255.5: truncating rounds.
                *to = (above + (below - above) * y + 0.5) as u8;
            }
        }
    }
}

/// What changing images needs room for; of one size of image at a time.
#[derive(Debug, Default)]
pub(crate) struct Room {
    size: [usize; 2],
    /// For each column and line: which of the grid's is before it, and how far on it is to the next.
    across: Vec<(usize, f32)>,
    down: Vec<(usize, f32)>,
    /// The image in a black border.
    bordered: Vec<u8>,
    /// Where the pixels of a line come from.
    places: Vec<[f32; 2]>,
}

impl Room {
    fn fit(&mut self, size: [usize; 2]) {
        if self.size == size {
            return;
        }
        let [lines, columns] = size;
        let along = |length: usize| {
            let step = (GRID - 1) as f32 / (length.max(2) - 1) as f32;
            let place = move |at: usize| {
                let place = at as f32 * step;
                let before = (place as usize).min(GRID - 2);
                (before, place - before as f32)
            };
            (0..length).map(place).collect()
        };
        self.across = along(columns);
        self.down = along(lines);
        self.places = vec![[0.0; 2]; columns];
        // One line more: what is below the last counts nothing, but is read.
        self.bordered = vec![0; (columns + 2 * BORDER) * (lines + 2 * BORDER + 1)];
        self.size = size;
    }

    fn border(&mut self, image: &[u8], columns: usize) {
        let lines = self
            .bordered
            .chunks_exact_mut(columns + 2 * BORDER)
            .skip(BORDER);
        for (to, from) in lines.zip(image.chunks_exact(columns)) {
            to[BORDER..][..columns].copy_from_slice(from);
        }
    }
}

/// Displacements across, and down.
const GRID: usize = 7;
/// Black pixels around an image: what comes from further away is black too.
const BORDER: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    const NONE: Augmentation = Augmentation {
        share: 1.0,
        rotation: 0.0,
        scale: 0.0,
        shear: 0.0,
        shift: 0.0,
        elastic: 0.0,
    };

    fn apply(augmentation: &Augmentation, image: &[u8], size: [usize; 2], record: u32) -> Vec<u8> {
        let mut out = vec![0; image.len()];
        let mut random = Random::of_record(5, Stream::Augmentation, 0, record);
        augmentation.apply(image, size, &mut random, &mut out, &mut Room::default());
        out
    }

    fn picture([lines, columns]: [usize; 2]) -> Vec<u8> {
        (0..lines * columns)
            .map(|at| (at * 37 % 251) as u8)
            .collect()
    }

    #[test]
    fn no_change_leaves_every_pixel_and_a_share_leaves_the_rest() {
        for size in [[28, 28], [8, 13], [1, 5], [3, 1]] {
            let image = picture(size);
            assert_eq!(apply(&NONE, &image, size, 3), image, "{size:?}");
        }
        let some = Augmentation {
            share: 0.25,
            shift: 3.0,
            ..NONE
        };
        let image = picture([28, 28]);
        let changed = (0..1000).filter(|&record| apply(&some, &image, [28, 28], record) != image);
        assert!((190..310).contains(&changed.count()));
    }

    /// The page's formula, a pixel at a time, for every kind of change alone and all together.
    #[test]
    fn pixels_come_from_where_the_page_says() {
        let all = Augmentation {
            share: 1.0,
            rotation: 30.0,
            scale: 0.3,
            shear: 0.3,
            shift: 4.0,
            elastic: 1.5,
        };
        for augmentation in [
            Augmentation {
                rotation: 40.0,
                ..NONE
            },
            Augmentation { scale: 0.5, ..NONE },
            Augmentation { shear: 0.5, ..NONE },
            Augmentation { shift: 5.0, ..NONE },
            Augmentation {
                elastic: 2.0,
                ..NONE
            },
            all,
        ] {
            for (size, record) in [([28, 28], 1), ([9, 14], 2), ([28, 28], 77)] {
                let image = picture(size);
                let expected = plainly(&augmentation, &image, size, record);
                assert_ne!(expected, image);
                assert_eq!(
                    apply(&augmentation, &image, size, record),
                    expected,
                    "{augmentation:?}"
                );
            }
        }
    }

    fn plainly(
        by: &Augmentation,
        image: &[u8],
        [lines, columns]: [usize; 2],
        record: u32,
    ) -> Vec<u8> {
        let mut random = Random::of_record(5, Stream::Augmentation, 0, record);
        assert!(random.unit() < by.share);
        let mut s = |most: f32| (2.0 * random.unit() - 1.0) * most;
        let angle = s(by.rotation) * (std::f32::consts::PI / 180.0);
        let (fx, fy, k) = (1.0 + s(by.scale), 1.0 + s(by.scale), s(by.shear));
        let (tx, ty) = (s(by.shift), s(by.shift));
        let (c, n) = (libm::cosf(angle), libm::sinf(angle));
        let grid: Vec<[f32; 2]> = (0..49)
            .map(|_| {
                [(); 2].map(|()| {
                    (random.unit() + random.unit() + random.unit() - 1.5) * 2.0 * by.elastic
                })
            })
            .collect();
        let pixel = |x: usize, y: usize| -> f32 {
            match (x.checked_sub(2), y.checked_sub(2)) {
                (Some(x), Some(y)) if x < columns && y < lines => f32::from(image[y * columns + x]),
                _ => 0.0,
            }
        };
        let along = |at: usize, length: usize| {
            let place = at as f32 * (6.0 / (length - 1) as f32);
            let before = (place as usize).min(5);
            (before, place - before as f32)
        };
        let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
        let mut out = Vec::new();
        for y in 0..lines {
            for x in 0..columns {
                let ((gx, sx), (gy, sy)) = (along(x, columns), along(y, lines));
                let bend = |axis: usize| {
                    let column =
                        |gx: usize| mix(grid[gy * 7 + gx][axis], grid[(gy + 1) * 7 + gx][axis], sy);
                    mix(column(gx), column(gx + 1), sx)
                };
                let (w, h) = ((columns - 1) as f32 / 2.0, (lines - 1) as f32 / 2.0);
                let (x, y) = (x as f32 - w, y as f32 - h);
                let across = c * fx * x + (k * c - n) * fx * y + tx + bend(0) + w + 2.0;
                let down = n * fy * x + (c + k * n) * fy * y + ty + bend(1) + h + 2.0;
                let across = across.clamp(0.0, (columns + 2) as f32);
                let down = down.clamp(0.0, (lines + 2) as f32);
                let (left, above) = (across as usize, down as usize);
                let (x, y) = (across - left as f32, down - above as f32);
                let line = |line| mix(pixel(left, line), pixel(left + 1, line), x);
                out.push((mix(line(above), line(above + 1), y) + 0.5) as u8);
            }
        }
        out
    }
}
