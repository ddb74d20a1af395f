//! The Jacobian-based saliency map attack (Papernot et al. 2016): few features, far.

use std::fmt;

use crate::error::{Error, Result};
use crate::random::{Random, Stream};
use crate::train::metrics;

use super::differentiable::{Differentiable, Pass, probability_slope};

/// What the saliency is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Saliency {
    /// The softmax's probabilities. They add up to 1, so what a pair of features adds to the target's it takes from
    /// the others': the paper's map `α · |β|` is `α²`, and the best pair are the two features of the largest `α`.
    #[default]
    Probabilities,
    /// The logits: the pair of the largest `-α · β` with `α > 0 > β`, `α` the target's derivative by both, `β` that of
    /// the others' sum (the paper's algorithm 3).
    Logits,
}

/// Which class a record is to be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// One of the others at random, each as likely as the next.
    #[default]
    Random,
    /// The one that the network thinks likeliest after its prediction.
    Likeliest,
    /// The one that it thinks least likely.
    Unlikeliest,
    /// The next one, class 0 after the last.
    Next,
    /// This one; a record that is already taken for it is left alone.
    Class(u16),
}

impl fmt::Display for Saliency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Saliency::Probabilities => "probabilities",
            Saliency::Logits => "logits",
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Random => f.write_str("random"),
            Target::Likeliest => f.write_str("likeliest"),
            Target::Unlikeliest => f.write_str("unlikeliest"),
            Target::Next => f.write_str("next"),
            Target::Class(class) => write!(f, "class {class}"),
        }
    }
}

/// How the attack goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jsma {
    /// How far each feature of a pair moves in one step, of 255; downwards where negative, never 0.
    pub theta: i16,
    /// The share of features that may be touched, above 0 and up to 1: it goes on while no more are.
    pub gamma: f64,
    /// What it looks at.
    pub saliency: Saliency,
    /// What it aims at.
    pub target: Target,
    /// Decides random targets.
    pub seed: u64,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// What it was to be taken for.
    pub target: u16,
    /// Whether it is.
    pub reached: bool,
    /// Features touched.
    pub touched: u32,
}

impl Jsma {
    /// # Errors
    /// [`Error::Input`] when there is no class that it aims at.
    pub(super) fn check(&self, classes: usize) -> Result<()> {
        match self.target {
            Target::Class(class) if usize::from(class) >= classes => Err(Error::input(
                format!("there is no class {class} to aim at: there are {classes}"),
                "name one that is there",
            )),
            _ => Ok(()),
        }
    }

    /// Attacks one record, `[inputs]`, in place. `index` is its number, which random targets hang on.
    pub fn attack(&self, network: &Differentiable, features: &mut [u8], index: u32) -> Fate {
        let mut pass = network.pass(features);
        let classes = pass.logits.len();
        let predicted = metrics::argmax(&pass.logits);
        let target = self.target_of(&pass.logits, predicted, index);
        let end = if self.theta > 0 { 255 } else { 0 };
        let mut touched = vec![false; features.len()];
        let mut count = 0u32;
        let mut left = features.iter().filter(|&&u| u != end).count();
        while metrics::argmax(&pass.logits) != target && target < classes {
            if f64::from(count) / features.len() as f64 > self.gamma || left < 2 {
                break;
            }
            let open = |i: usize| features[i] != end;
            let Some(pair) = self.pair(network, &pass, target, &open) else {
                break;
            };
            for i in pair {
                let to = (i16::from(features[i]) + self.theta).clamp(0, 255) as u8;
                count += u32::from(!touched[i]);
                touched[i] = true;
                network.touch(&mut pass, i, features[i], to);
                features[i] = to;
                left -= usize::from(to == end);
            }
            network.finish(&mut pass);
        }
        Fate {
            target: target as u16,
            reached: metrics::argmax(&pass.logits) == target,
            touched: count,
        }
    }

    fn target_of(&self, logits: &[f32], predicted: usize, index: u32) -> usize {
        let others = (0..logits.len()).filter(|&class| class != predicted);
        let by_logit = |a: &usize, b: &usize| logits[*a].total_cmp(&logits[*b]);
        match self.target {
            Target::Random => {
                let mut random = Random::of_record(self.seed, Stream::Evasion, 1, index);
                let others: Vec<usize> = others.collect();
                others[random.below(others.len() as u32) as usize]
            }
            Target::Likeliest => others.max_by(by_logit).unwrap_or(predicted),
            Target::Unlikeliest => others.min_by(by_logit).unwrap_or(predicted),
            Target::Next => (predicted + 1) % logits.len(),
            Target::Class(class) => class.into(),
        }
    }

    /// The two features to move, of those that are `open`.
    fn pair(
        &self,
        network: &Differentiable,
        pass: &Pass,
        target: usize,
        open: &dyn Fn(usize) -> bool,
    ) -> Option<[usize; 2]> {
        let sign = if self.theta > 0 { 1.0 } else { -1.0 };
        match self.saliency {
            Saliency::Probabilities => {
                let slopes = network.slopes(pass, &probability_slope(&pass.logits, target));
                let mut best = [(f32::NEG_INFINITY, usize::MAX); 2];
                for (i, slope) in slopes.iter().enumerate().filter(|&(i, _)| open(i)) {
                    let slope = slope * sign;
                    if slope > best[0].0 {
                        best = [(slope, i), best[0]];
                    } else if slope > best[1].0 {
                        best[1] = (slope, i);
                    }
                }
                let pair = best.map(|(_, i)| i);
                (pair[1] != usize::MAX).then_some(pair)
            }
            Saliency::Logits => {
                let only = |class: usize| f32::from(u8::from(class == target));
                let ours: Vec<f32> = (0..pass.logits.len()).map(only).collect();
                let theirs: Vec<f32> = ours.iter().map(|ours| 1.0 - ours).collect();
                let alpha = network.slopes(pass, &ours);
                let beta = network.slopes(pass, &theirs);
                let open: Vec<usize> = (0..alpha.len()).filter(|&i| open(i)).collect();
                let mut best = (0.0, None);
                for (at, &p) in open.iter().enumerate() {
                    for &q in &open[..at] {
                        let (a, b) = (sign * (alpha[p] + alpha[q]), sign * (beta[p] + beta[q]));
                        if a > 0.0 && b < 0.0 && -a * b > best.0 {
                            best = (-a * b, Some([p, q]));
                        }
                    }
                }
                best.1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::differentiable::tests::{network, record};
    use super::*;

    const JSMA: Jsma = Jsma {
        theta: 255,
        gamma: 1.0,
        saliency: Saliency::Probabilities,
        target: Target::Random,
        seed: 1,
    };

    #[test]
    fn targets_are_reached_with_what_may_be_touched() {
        let network = network();
        let mut reached = [0; 3];
        for (at, (saliency, gamma)) in [
            (Saliency::Probabilities, 1.0),
            (Saliency::Logits, 1.0),
            (Saliency::Probabilities, 0.03),
        ]
        .into_iter()
        .enumerate()
        {
            for index in 0..60 {
                let original = record(100 + u64::from(index));
                let mut features = original.clone();
                let jsma = Jsma {
                    gamma,
                    saliency,
                    ..JSMA
                };
                let fate = jsma.attack(&network, &mut features, index);
                let predicted = |features: &[u8]| metrics::argmax(&network.pass(features).logits);
                assert_ne!(usize::from(fate.target), predicted(&original));
                assert_eq!(
                    fate.reached,
                    predicted(&features) == usize::from(fate.target)
                );
                let moved = original.iter().zip(&features).filter(|(a, b)| a != b);
                assert_eq!(moved.clone().count(), fate.touched as usize);
                assert!(moved.into_iter().all(|(_, &b)| b == 255));
                // A pair is touched while no more than the share is.
                assert!(f64::from(fate.touched) <= gamma * 50.0 + 2.0);
                reached[at] += usize::from(fate.reached);
                let mut again = original.clone();
                assert_eq!(jsma.attack(&network, &mut again, index), fate);
                assert_eq!(again, features);
            }
        }
        assert!(reached[0] > 30 && reached[1] > 30, "{reached:?}");
        assert!(reached[2] < reached[0], "{reached:?}");
    }

    #[test]
    fn the_pair_is_the_best_of_all() {
        let network = network();
        for (index, theta) in [(0, 255), (1, -255), (2, 30), (3, -30)] {
            let features = record(300 + index);
            let pass = network.pass(&features);
            let target = (metrics::argmax(&pass.logits) + 1) % 5;
            let open = |i: usize| !i.is_multiple_of(7);
            let sign = if theta > 0 { 1.0 } else { -1.0 };
            let slopes = |weights: &[f32]| network.slopes(&pass, weights);
            let one = |class: usize| f32::from(u8::from(class == target));
            let logits = slopes(&(0..5).map(one).collect::<Vec<_>>());
            let others = slopes(&(0..5).map(|class| 1.0 - one(class)).collect::<Vec<_>>());
            let shares = slopes(&probability_slope(&pass.logits, target));
            for saliency in [Saliency::Probabilities, Saliency::Logits] {
                let worth = |p: usize, q: usize| match saliency {
                    Saliency::Probabilities => sign * (shares[p] + shares[q]),
                    Saliency::Logits => {
                        let (a, b) = (
                            sign * (logits[p] + logits[q]),
                            sign * (others[p] + others[q]),
                        );
                        if a > 0.0 && b < 0.0 { -a * b } else { 0.0 }
                    }
                };
                let pairs = (0..50).flat_map(|p| (0..p).map(move |q| (p, q)));
                let pairs = pairs.filter(|&(p, q)| open(p) && open(q));
                let best = pairs.map(|(p, q)| worth(p, q)).fold(f32::MIN, f32::max);
                let jsma = Jsma {
                    theta,
                    saliency,
                    ..JSMA
                };
                let [p, q] = jsma.pair(&network, &pass, target, &open).unwrap();
                assert!(open(p) && open(q) && p != q);
                assert!(
                    (worth(p, q) - best).abs() <= best.abs() * 1e-6,
                    "{saliency}, {theta}"
                );
            }
        }
    }

    #[test]
    fn what_it_aims_at() {
        let network = network();
        let features = record(9);
        let logits = network.pass(&features).logits;
        let mut order: Vec<usize> = (0..5).collect();
        order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
        let aimed = |target| {
            let mut features = features.clone();
            let fate = Jsma {
                target,
                theta: -30,
                ..JSMA
            }
            .attack(&network, &mut features, 0);
            // Downwards only.
            assert!(features.iter().zip(&self::record(9)).all(|(a, b)| a <= b));
            usize::from(fate.target)
        };
        assert_eq!(aimed(Target::Likeliest), order[1]);
        assert_eq!(aimed(Target::Unlikeliest), order[4]);
        assert_eq!(aimed(Target::Next), (order[0] + 1) % 5);
        assert_eq!(aimed(Target::Class(order[3] as u16)), order[3]);
        let mut left = features.clone();
        let own = Target::Class(order[0] as u16);
        let fate = Jsma {
            target: own,
            ..JSMA
        }
        .attack(&network, &mut left, 0);
        assert!(fate.reached && fate.touched == 0 && left == features);
        let aiming = |target| Jsma { target, ..JSMA }.check(5);
        assert!(aiming(Target::Class(4)).is_ok() && aiming(Target::Class(5)).is_err());
    }
}
