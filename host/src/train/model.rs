//! The network in real numbers: its shape and its parameters.

use crate::error::{Error, Result};

/// The four widths of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Features of a record.
    pub inputs: usize,
    /// Neurons of the two hidden layers.
    pub hidden: [usize; 2],
    /// Classes.
    pub classes: usize,
}

impl Shape {
    /// A shape that the sealed model can carry: every width from 1 (classes from 2) to 65,535.
    ///
    /// # Errors
    /// [`Error::Input`] naming the width that is out of range.
    pub fn new(inputs: usize, hidden: [usize; 2], classes: usize) -> Result<Shape> {
        let shape = Shape {
            inputs,
            hidden,
            classes,
        };
        let names = [
            "features",
            "first hidden neurons",
            "second hidden neurons",
            "classes",
        ];
        for ((width, name), least) in shape.widths().into_iter().zip(names).zip([1, 1, 1, 2]) {
            if !(least..=usize::from(u16::MAX)).contains(&width) {
                return Err(Error::input(
                    format!("a network with {width} {name}"),
                    format!("between {least} and {} are possible", u16::MAX),
                ));
            }
        }
        Ok(shape)
    }

    /// Inputs, first hidden, second hidden, classes.
    pub fn widths(&self) -> [usize; 4] {
        [self.inputs, self.hidden[0], self.hidden[1], self.classes]
    }

    /// How many numbers the network has to learn.
    pub fn parameters(&self) -> usize {
        let widths = self.widths();
        widths.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum()
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [inputs, first, second, classes] = self.widths();
        write!(f, "{inputs}-{first}-{second}-{classes}")
    }
}

/// One dense layer: `z[o] = bias[o] + Σ x[i] · weights[i][o]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Inputs.
    pub inputs: usize,
    /// Outputs.
    pub outputs: usize,
    /// `[inputs][outputs]`, row-major: the inner loop of every sum runs over outputs.
    pub weights: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

impl Layer {
    /// A layer of zeros.
    pub fn zeros(inputs: usize, outputs: usize) -> Layer {
        Layer {
            inputs,
            outputs,
            weights: vec![0.0; inputs * outputs],
            bias: vec![0.0; outputs],
        }
    }
}

/// Three dense layers, ReLU after the first two, softmax (outside of this type) after the last. The input
/// is `u / 255 - 0.5` for a feature `u` in 0..=255 (paper, section 3.1.3).
///
/// A gradient, and each of the optimiser's averages, has the same form.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// First hidden, second hidden, output.
    pub layers: [Layer; 3],
}

impl Network {
    /// A network of zeros.
    pub fn zeros(shape: &Shape) -> Network {
        let [inputs, first, second, classes] = shape.widths();
        Network {
            layers: [
                Layer::zeros(inputs, first),
                Layer::zeros(first, second),
                Layer::zeros(second, classes),
            ],
        }
    }

    /// The four widths.
    pub fn shape(&self) -> Shape {
        let [first, second, output] = &self.layers;
        Shape {
            inputs: first.inputs,
            hidden: [first.outputs, second.outputs],
            classes: output.outputs,
        }
    }

    /// Every parameter: layer by layer the weights, then the biases.
    pub fn numbers(&self) -> impl Iterator<Item = f32> {
        let layers = self.layers.iter();
        layers.flat_map(|layer| layer.weights.iter().chain(&layer.bias).copied())
    }

    /// Whether every parameter is a finite number.
    pub fn is_finite(&self) -> bool {
        self.numbers().all(f32::is_finite)
    }
}
