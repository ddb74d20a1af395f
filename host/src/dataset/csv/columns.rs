//! The numbers of a CSV file, from reals to `u8`.

use crate::dataset::Column;

/// Bytes for as long as they suffice, else reals: `[rows][columns without the label]`.
pub(super) enum Values {
    Bytes(Vec<u8>),
    Reals(Vec<f64>),
}

impl Values {
    pub(super) fn push(&mut self, value: f64) {
        match self {
            Values::Bytes(bytes) if value.fract() == 0.0 && (0.0..=255.0).contains(&value) => {
                bytes.push(value as u8);
            }
            Values::Bytes(bytes) => {
                let mut reals: Vec<f64> = bytes.iter().map(|&byte| f64::from(byte)).collect();
                reals.push(value);
                *self = Values::Reals(reals);
            }
            Values::Reals(reals) => reals.push(value),
        }
    }
}

impl Column {
    /// The real that a feature stands for.
    pub fn real(&self, feature: u8) -> f64 {
        self.offset + self.scale * f64::from(feature)
    }

    /// The feature nearest to a real.
    pub fn feature(&self, real: f64) -> u8 {
        // `as` saturates: a real outside the range becomes its nearest end.
        self.steps(real).round() as u8
    }

    fn steps(&self, real: f64) -> f64 {
        (real - self.offset) / self.scale
    }
}

/// The feature that a model takes for a real, and whether the real lies beyond what features stand for and
/// became their nearest end. Without a scaling a feature is the number itself. The error is to be read after
/// the column's name.
pub(super) fn fit(real: f64, scaling: Option<&Column>) -> Result<(u8, bool), String> {
    let steps = match scaling {
        Some(column) => column.steps(real).round(),
        None if real.fract() == 0.0 => real,
        None => {
            return Err(format!(
                "is {real}; the model was trained on whole numbers from 0 to 255, as they are"
            ));
        }
    };
    Ok((steps as u8, !(0.0..=255.0).contains(&steps)))
}

/// The scaling of each column, from its least and greatest value, in numbers that an `f32` holds.
pub(super) fn scale(
    reals: &[f64],
    width: usize,
    names: impl Iterator<Item = String>,
) -> Vec<Column> {
    let mut ranges = vec![(f64::INFINITY, f64::NEG_INFINITY); width];
    for row in reals.chunks_exact(width) {
        for ((least, greatest), &real) in ranges.iter_mut().zip(row) {
            *least = least.min(real);
            *greatest = greatest.max(real);
        }
    }
    names
        .zip(ranges)
        .map(|(name, (least, greatest))| {
            let range = (greatest - least) / 255.0;
            // A column that never changes has no range to spread.
            let spread = range > LEAST_SCALE;
            let step = if spread { range } else { 1.0 };
            // The nearest `f32` may lie above the least value by more than half a step: then the one below.
            let nearest = least as f32;
            let offset = match f64::from(nearest) - least < step / 2.0 {
                true => f64::from(nearest),
                false => f64::from(nearest.next_down()),
            };
            let scale = match spread {
                true => f64::from(((greatest - offset) / 255.0) as f32),
                false => 1.0,
            };
            Column {
                name,
                offset,
                scale,
            }
        })
        .collect()
}

/// A finite number of a size that an `f32` holds too.
pub(super) fn number(cell: &str) -> Result<f64, String> {
    match cell.parse::<f64>() {
        Ok(value) if value.abs() <= GREATEST => Ok(value),
        Ok(value) if value.is_finite() => Err(format!("is {cell}, beyond ±{GREATEST:e}")),
        Ok(_) => Err(format!("is {cell}, not a finite number")),
        Err(_) => Err(format!("is {:?}, not a number", super::shortened(cell))),
    }
}

/// Offset and scale are kept as `f32` in a sealed model.
const GREATEST: f64 = 1e30;

/// Below this an `f32` scale would lose its meaning.
const LEAST_SCALE: f64 = 1e-30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reals_come_back_to_half_a_step() {
        let reals = [-1.5, 7.0, 0.25, 7.0, 3.0, 7.0];
        let names = ["a", "b"].map(String::from);
        let columns = scale(&reals, 2, names.into_iter());
        assert_eq!((columns[1].offset, columns[1].scale), (7.0, 1.0));
        for (real, column) in reals.iter().zip(columns.iter().cycle()) {
            let again = column.real(column.feature(*real));
            assert!((again - real).abs() <= column.scale / 2.0 + 1e-12);
        }
        assert_eq!(
            (columns[0].feature(-1.5), columns[0].feature(3.0)),
            (0, 255)
        );
        assert_eq!(
            (columns[0].feature(-9.0), columns[0].feature(9.0)),
            (0, 255)
        );
    }

    /// As a sealed model keeps them, whatever the numbers: nothing read is beyond what features stand for.
    #[test]
    fn a_scaling_is_exact_in_f32_and_clamps_nothing_it_was_made_from() {
        for (least, greatest) in [
            (0.1, 0.3),
            (4.3, 7.9),
            (1e6 + 0.01, 1e6 + 0.5),
            (1e9 + 0.7, 1e9 + 1.0),
            (-1e9 - 0.7, -1e9 + 0.1),
            (-1e30, 1e30),
            (1e-20, 3e-20),
            (1.1, 1.1),
            (123_456_789.1, 123_456_789.1),
        ] {
            let names = [String::new()];
            let reals = [least, greatest, (least + greatest) / 2.0];
            let [column] = &scale(&reals, 1, names.into_iter())[..] else {
                unreachable!()
            };
            assert_eq!(f64::from(column.offset as f32), column.offset);
            assert_eq!(f64::from(column.scale as f32), column.scale);
            for real in reals {
                let (feature, clamped) = fit(real, Some(column)).unwrap();
                assert!(!clamped, "{real} in {least} to {greatest}");
                assert_eq!(feature, column.feature(real));
            }
        }
        assert_eq!(fit(7.0, None), Ok((7, false)));
        assert_eq!(fit(-1.0, None), Ok((0, true)));
        assert_eq!(fit(300.0, None), Ok((255, true)));
        assert!(fit(0.5, None).is_err());
        let column = Column {
            name: String::new(),
            offset: 1.0,
            scale: 0.5,
        };
        let of = |real| fit(real, Some(&column)).unwrap();
        assert_eq!((of(0.8), of(0.7)), ((0, false), (0, true)));
        assert_eq!((of(128.7), of(128.8)), ((255, false), (255, true)));
    }

    #[test]
    fn numbers() {
        assert_eq!(number("-2.5e3"), Ok(-2500.0));
        for wrong in [
            "NaN",
            "inf",
            "-infinity",
            "1e400",
            "1e31",
            "",
            "a",
            "1,5",
            "0x1",
        ] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
    }
}
