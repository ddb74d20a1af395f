//! What a first layer was trained on: features as they lie in a record, or shifted and scaled.

use std::fmt;
use std::str::FromStr;

use super::dense::Dense;
use crate::train::{Layer, Network};

/// What a first layer expects of a feature `u` in 0..=255: `(u / divisor - mean) / deviation`.
///
/// Written as that expression, with what changes nothing left out: `u/255-0.5`, `u/255`,
/// `(u/255-0.1307)/0.3081`, `u`. Numbers are decimal, without exponent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Input {
    divisor: f64,
    mean: f64,
    deviation: f64,
}

impl Input {
    /// What [`Network`] expects: `u/255-0.5`.
    pub const NETWORK: Input = Input {
        divisor: 255.0,
        mean: 0.5,
        deviation: 1.0,
    };

    /// Those that people train on: Sealnet, Keras's examples, pixels from -1 to 1, torchvision's
    /// `Normalize((0.1307,), (0.3081,))`, and features as they are.
    pub const USUAL: [Input; 5] = [
        Input::NETWORK,
        Input {
            mean: 0.0,
            ..Input::NETWORK
        },
        Input {
            divisor: 127.5,
            mean: 1.0,
            deviation: 1.0,
        },
        Input {
            divisor: 255.0,
            mean: 0.1307,
            deviation: 0.3081,
        },
        Input {
            divisor: 1.0,
            mean: 0.0,
            deviation: 1.0,
        },
    ];

    /// How much more it makes of a step of `u` than `u/255-0.5` does, and what it makes of the `u` of which
    /// that makes 0.
    fn factor_and_middle(self) -> (f64, f64) {
        // In this order a divisor of 255 is exactly 1.
        let unit = 255.0 / self.divisor;
        (
            unit / self.deviation,
            (0.5 * unit - self.mean) / self.deviation,
        )
    }

    /// The layer over `u/255-0.5` that gives what `layer` gives over this input: computed in f64, each
    /// parameter rounded to f32 once. Of `u/255-0.5` itself nothing changes.
    pub(super) fn fold(self, layer: &Dense) -> Layer {
        let (factor, middle) = self.factor_and_middle();
        let mut bias = layer.bias.clone();
        if middle != 0.0 {
            for row in layer.weights.chunks_exact(layer.outputs.max(1)) {
                for (bias, weight) in bias.iter_mut().zip(row) {
                    *bias += middle * weight;
                }
            }
        }
        Layer {
            inputs: layer.inputs,
            outputs: layer.outputs,
            weights: (layer.weights.iter())
                .map(|weight| (weight * factor) as f32)
                .collect(),
            bias: bias.into_iter().map(|bias| bias as f32).collect(),
        }
    }

    /// What `network`, which was folded as one over `self`, would have been as one over `other`.
    pub fn instead(self, other: Input, network: &Network) -> Network {
        let (factor, middle) = self.factor_and_middle();
        let [first, second, last] = &network.layers;
        let weights: Vec<f64> = (first.weights.iter())
            .map(|&weight| f64::from(weight) / factor)
            .collect();
        let mut bias: Vec<f64> = first.bias.iter().map(|&bias| f64::from(bias)).collect();
        for row in weights.chunks_exact(first.outputs.max(1)) {
            for (bias, weight) in bias.iter_mut().zip(row) {
                *bias -= middle * weight;
            }
        }
        let dense = Dense {
            inputs: first.inputs,
            outputs: first.outputs,
            weights,
            bias,
        };
        Network {
            layers: [other.fold(&dense), second.clone(), last.clone()],
        }
    }
}

impl FromStr for Input {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let packed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        parse(&packed).ok_or_else(|| {
            format!(
                "expected {EXAMPLES}: of a feature u from 0 to 255 what the first layer was trained on"
            )
        })
    }
}

fn parse(text: &str) -> Option<Input> {
    let (inner, deviation) = match text.strip_prefix('(') {
        Some(rest) => {
            let (inner, divisor) = rest.split_once(")/")?;
            (inner, positive(divisor)?)
        }
        None => (text, 1.0),
    };
    let inner = inner.strip_prefix('u')?;
    let (divisor, mean) = match inner.find(['-', '+']) {
        Some(at) => {
            let (divisor, mean) = inner.split_at(at);
            let mean_size = number(mean.get(1..)?)?;
            let sign = if mean.starts_with('-') { 1.0 } else { -1.0 };
            (divisor, sign * mean_size)
        }
        None => (inner, 0.0),
    };
    let divisor = match divisor {
        "" => 1.0,
        divisor => positive(divisor.strip_prefix('/')?)?,
    };
    Some(Input {
        divisor,
        mean,
        deviation,
    })
}

/// A decimal number: digits with at most one point.
fn number(text: &str) -> Option<f64> {
    let plain = text.len() <= DIGITS && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

fn positive(text: &str) -> Option<f64> {
    number(text).filter(|&number| number > 0.0)
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = "u".to_owned();
        if self.divisor != 1.0 {
            text += &format!("/{}", self.divisor);
        }
        if self.mean != 0.0 {
            text += &format!("{:+}", -self.mean);
        }
        match self.deviation {
            1.0 => f.write_str(&text),
            deviation => write!(f, "({text})/{deviation}"),
        }
    }
}

/// As they are written in messages and help.
const EXAMPLES: &str = "an expression like u/255-0.5, u/255, u/127.5-1, (u/255-0.1307)/0.3081 or u";
/// More than f64 tells apart.
const DIGITS: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in [
            "u/255-0.5",
            "u/255",
            "u/127.5-1",
            "(u/255-0.1307)/0.3081",
            "u",
            "u-127.5",
            "u/255+0.25",
            "(u)/2",
        ] {
            let input: Input = text.parse().unwrap();
            assert_eq!(input.to_string(), text);
        }
        assert_eq!(
            " ( u / 255 - 0.1307 ) / 0.3081".parse(),
            Ok(Input::USUAL[3])
        );
        for usual in Input::USUAL {
            assert_eq!(usual.to_string().parse(), Ok(usual));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "x",
            "u/",
            "u/0",
            "u/-1",
            "u/255-",
            "u/255--1",
            "u/255-0.5/2",
            "(u/255",
            "(u/255)",
            "(u/255)/0",
            "u/1e3",
            "u/inf",
            "u/nan",
            "u/255-0.5-0.5",
            "2*u",
            "u/1.2.3",
            "ü/255",
            "u-é",
        ] {
            let refused = text.parse::<Input>();
            assert!(refused.is_err(), "{text} is read as {refused:?}");
        }
    }

    /// By the definition, feature by feature.
    #[test]
    fn folded_layers_give_what_the_layer_gives() {
        let dense = Dense {
            inputs: 3,
            outputs: 2,
            weights: vec![0.5, -1.25, 2.0, 0.125, -0.75, 3.0],
            bias: vec![0.25, -4.0],
        };
        for input in Input::USUAL {
            let folded = input.fold(&dense);
            for features in [[0.0, 0.0, 0.0], [255.0, 1.0, 77.0], [3.0, 200.0, 255.0]] {
                for output in 0..2 {
                    let sum = |of: &dyn Fn(usize) -> f64| -> f64 { (0..3).map(of).sum() };
                    let expected = dense.bias[output]
                        + sum(&|i| {
                            let x = (features[i] / input.divisor - input.mean) / input.deviation;
                            x * dense.weights[2 * i + output]
                        });
                    let got = f64::from(folded.bias[output])
                        + sum(&|i| {
                            (features[i] / 255.0 - 0.5) * f64::from(folded.weights[2 * i + output])
                        });
                    let rounding = 1e-6 * (1.0 + expected.abs());
                    assert!(
                        (got - expected).abs() < rounding,
                        "{input}: {got} {expected}"
                    );
                }
            }
        }
        let same = Input::NETWORK.fold(&dense);
        assert!(
            same.weights
                .iter()
                .zip(&dense.weights)
                .all(|(a, b)| f64::from(*a) == *b)
        );
        assert!(
            same.bias
                .iter()
                .zip(&dense.bias)
                .all(|(a, b)| f64::from(*a) == *b)
        );
    }

    #[test]
    fn another_reading_of_the_same_weights_is_that_of_the_weights_as_they_were() {
        let dense = Dense {
            inputs: 2,
            outputs: 2,
            weights: vec![0.5, -1.25, 2.0, 0.125],
            bias: vec![0.25, -4.0],
        };
        let network = |input: Input| Network {
            layers: [input.fold(&dense), Layer::zeros(2, 1), Layer::zeros(1, 2)],
        };
        for said in Input::USUAL {
            for other in Input::USUAL {
                let (got, expected) = (said.instead(other, &network(said)), network(other));
                let numbers = |network: &Network| {
                    let [first, ..] = &network.layers;
                    [first.weights.clone(), first.bias.clone()].concat()
                };
                for (got, expected) in numbers(&got).into_iter().zip(numbers(&expected)) {
                    assert!(
                        (got - expected).abs() <= 1e-4 * expected.abs().max(1.0),
                        "{said} {other}"
                    );
                }
            }
        }
    }
}
