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
        ((real - self.offset) / self.scale).round() as u8
    }
}

/// The scaling of each column, from its least and greatest value.
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
            let step = (greatest - least) / 255.0;
            Column {
                name,
                offset: least,
                // A column that never changes has no range to spread.
                scale: if step > LEAST_SCALE { step } else { 1.0 },
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
