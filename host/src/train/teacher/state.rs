//! A teacher in numbers: what is kept of one that is not done, and of one that is.

use super::form::{Form, Weights};
use super::update::Optimiser;
use super::{Teacher, TeacherPlan};
use crate::error::{Error, Result};

/// Where a teacher's training stands between two epochs: all that decides the rest.
///
/// Numbers stand layer by layer, the weights as `[inputs][outputs]` and then the biases, widths padded as the
/// teacher has them.
#[derive(Debug, Clone, PartialEq)]
pub struct TeacherState {
    /// Steps done.
    pub steps: u64,
    /// β₁ and β₂ to the power of `steps`, by repeated multiplication.
    pub powers: [f64; 2],
    /// The weights.
    pub weights: Vec<f32>,
    /// The optimiser's average of gradients.
    pub mean: Vec<f32>,
    /// Its average of their squares.
    pub square: Vec<f32>,
    /// The moving average of the weights.
    pub average: Vec<f32>,
}

impl TeacherState {
    pub(super) fn of(weights: &Weights, optimiser: &Optimiser) -> TeacherState {
        TeacherState {
            steps: optimiser.steps,
            powers: optimiser.powers,
            weights: flat(weights),
            mean: flat(&optimiser.mean),
            square: flat(&optimiser.square),
            average: flat(&optimiser.average),
        }
    }

    /// What it was taken of.
    ///
    /// # Errors
    /// [`Error::Input`] when it is of another form.
    pub(super) fn restore(&self, form: &Form) -> Result<(Weights, Optimiser)> {
        let optimiser = Optimiser {
            mean: whole(form, &self.mean)?,
            square: whole(form, &self.square)?,
            average: whole(form, &self.average)?,
            powers: self.powers,
            steps: self.steps,
        };
        Ok((whole(form, &self.weights)?, optimiser))
    }
}

impl Teacher {
    /// All that it is, as [`TeacherState`] has numbers.
    pub(crate) fn numbers(&self) -> Vec<f32> {
        flat(&self.weights)
    }

    /// The teacher with these numbers.
    ///
    /// # Errors
    /// [`Error::Input`] when they are not those of one that `plan` makes.
    pub(crate) fn of(plan: &TeacherPlan<'_>, numbers: &[f32]) -> Result<Teacher> {
        let form = plan.form()?;
        Ok(Teacher {
            weights: whole(&form, numbers)?,
            form,
        })
    }
}

fn flat(weights: &Weights) -> Vec<f32> {
    let layers = weights.0.iter();
    let parts = layers.flat_map(|layer| [&layer.weights[..], &layer.bias]);
    parts.collect::<Vec<_>>().concat()
}

fn whole(form: &Form, mut numbers: &[f32]) -> Result<Weights> {
    let mut weights = form.zeros();
    for layer in &mut weights.0 {
        for to in [&mut layer.weights, &mut layer.bias] {
            let (head, rest) = numbers.split_at_checked(to.len()).ok_or_else(of_another)?;
            to.copy_from_slice(head);
            numbers = rest;
        }
    }
    match numbers {
        [] => Ok(weights),
        _ => Err(of_another()),
    }
}

fn of_another() -> Error {
    Error::input(
        "a training state that is not of this teacher",
        "it belongs to another training",
    )
}
