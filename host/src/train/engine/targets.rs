//! What a network is to say.

use prefetch_index::prefetch_index;

use crate::error::{Error, Result};

/// The target of each record.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a> {
    /// A class each: `t = (1 - ε)·y + ε / classes` with `y` 1 at the label and 0 elsewhere; temperature 1.
    Labels {
        /// `[N]`, each below the network's classes.
        labels: &'a [u16],
        /// The ε, in `[0, 1)`.
        smoothing: f64,
    },
    /// Probabilities each: `t` as given, at the temperature they were made with.
    Soft {
        /// `[N][classes]`; each row adds up to 1.
        probabilities: &'a [f32],
        /// `[N]`: what counts as predicted correctly.
        labels: &'a [u16],
        /// The temperature: finite and above 0.
        temperature: f64,
    },
}

impl<'a> Targets<'a> {
    /// Classes as they are.
    pub fn labels(labels: &'a [u16]) -> Targets<'a> {
        Targets::Labels {
            labels,
            smoothing: 0.0,
        }
    }

    /// The label of record `index`.
    #[inline(always)]
    pub(super) fn label(&self, index: u32) -> usize {
        let (Targets::Labels { labels, .. } | Targets::Soft { labels, .. }) = self;
        usize::from(labels[index as usize])
    }

    /// Asks for the memory of those of the records that `which` names, of many classes' the beginning and the end.
    pub(super) fn ask_for(&self, which: &[u32]) {
        let (Targets::Labels { labels, .. } | Targets::Soft { labels, .. }) = self;
        for &index in which {
            prefetch_index(labels, index as usize);
        }
        if let Targets::Soft { probabilities, .. } = self
            && let Some(classes) = probabilities.len().checked_div(labels.len())
        {
            for &index in which {
                let from = index as usize * classes;
                prefetch_index(probabilities, from);
                prefetch_index(probabilities, from + classes.saturating_sub(1));
            }
        }
    }

    /// The temperature.
    pub(super) fn temperature(&self) -> f64 {
        match self {
            Targets::Labels { .. } => 1.0,
            Targets::Soft { temperature, .. } => *temperature,
        }
    }

    /// Writes the target of record `index`, `[classes]`.
    #[inline(always)]
    pub(super) fn write(&self, index: u32, target: &mut [f32]) {
        let classes = target.len();
        match self {
            Targets::Labels { labels, smoothing } => {
                let low = smoothing / classes as f64;
                target.fill(low as f32);
                target[usize::from(labels[index as usize])] = (1.0 - smoothing + low) as f32;
            }
            Targets::Soft { probabilities, .. } => {
                target.copy_from_slice(&probabilities[index as usize * classes..][..classes]);
            }
        }
    }

    /// Whether they are targets of `count` records for `classes` classes.
    pub(super) fn check(&self, count: usize, classes: usize) -> Result<()> {
        let refuse = |what: String| Err(Error::input(what, "targets must go with the records"));
        let (Targets::Labels { labels, .. } | Targets::Soft { labels, .. }) = self;
        if labels.len() != count {
            return refuse(format!("{} labels for {count} records", labels.len()));
        }
        match self {
            Targets::Labels { smoothing, .. } if !(0.0..1.0).contains(smoothing) => {
                refuse(format!("a label smoothing of {smoothing}"))
            }
            Targets::Soft { temperature, .. }
                if !(temperature.is_finite() && *temperature > 0.0) =>
            {
                refuse(format!("a temperature of {temperature}"))
            }
            Targets::Soft { probabilities, .. }
                if count.checked_mul(classes) != Some(probabilities.len()) =>
            {
                refuse(format!(
                    "{} probabilities for {count} records of {classes} classes",
                    probabilities.len()
                ))
            }
            _ => Ok(()),
        }
    }
}
