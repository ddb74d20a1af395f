//! The network this build runs. Its widths are compiled in, so that every buffer has a fixed size.
//!
//! `SEALNET_SHAPE=INPUT-HIDDEN1-HIDDEN2-CLASSES` in the environment of `cargo build` chooses them, for a
//! network trained on other data; without it they are MNIST's, 784-64-64-10.

use sealnet_core::mlp::Shape;

/// Widths from input to output.
pub const SHAPE: Shape = match option_env!("SEALNET_SHAPE") {
    None => match Shape::new(784, 64, 64, 10) {
        Ok(shape) => shape,
        Err(_) => panic!("the default shape has no zero width"),
    },
    Some(text) => match parse(text) {
        Some(shape) => shape,
        None => panic!(
            "SEALNET_SHAPE must be INPUT-HIDDEN1-HIDDEN2-CLASSES, such as 784-64-64-10, each 1 to 65535"
        ),
    },
};

/// Features a request carries.
pub const INPUT: usize = SHAPE.input() as usize;
/// Width of the first hidden layer.
pub const HIDDEN1: usize = SHAPE.hidden1() as usize;
/// Width of the second hidden layer.
pub const HIDDEN2: usize = SHAPE.hidden2() as usize;
/// Classes.
pub const CLASSES: usize = SHAPE.output() as usize;

/// Reads `INPUT-HIDDEN1-HIDDEN2-CLASSES`: four decimal numbers from 1 to 65535.
const fn parse(text: &str) -> Option<Shape> {
    let mut rest = text.as_bytes();
    let mut done = [0_u16; 3];
    let mut width = 0_u32;
    loop {
        match rest {
            [digit @ b'0'..=b'9', tail @ ..] => {
                width = width * 10 + (*digit - b'0') as u32;
                if width > u16::MAX as u32 {
                    return None;
                }
                rest = tail;
            }
            // A width of zero, or no width: `Shape::new` refuses it, here or at the end.
            [b'-', tail @ ..] => {
                let [first, second, third] = done;
                if first != 0 || width == 0 {
                    return None;
                }
                done = [second, third, width as u16];
                width = 0;
                rest = tail;
            }
            [] => {
                let [input, hidden1, hidden2] = done;
                return match Shape::new(input, hidden1, hidden2, width as u16) {
                    Ok(shape) => Some(shape),
                    Err(_) => None,
                };
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_four_widths_and_nothing_else() {
        let widths = |text| parse(text).map(|shape| shape.widths());
        assert_eq!(widths("784-64-64-10"), Some([784, 64, 64, 10]));
        assert_eq!(widths("1-65535-2-3"), Some([1, 65535, 2, 3]));
        for wrong in [
            "",
            "-",
            "---",
            "784",
            "784-64-64",
            "784-64-64-",
            "784-64-64-10-",
            "784-64-64-10-2",
            "0-1-1-1",
            "1-0-1-1",
            "1-1-1-0",
            "1--1-1",
            "-1-1-1-1",
            "65536-1-1-1",
            "4294967297-1-1-1",
            "784-64-64-1O",
            "784 64 64 10",
            " 784-64-64-10",
            "784-64-64-10\n",
        ] {
            assert_eq!(widths(wrong), None, "{wrong:?}");
        }
    }
}
