//! The definition on `sealnet::train`'s page in plain loops: slow, and nothing to get wrong.

use sealnet::train::adam::Adam;
use sealnet::train::{InputMap, Layer, Network, Records, Targets, View};

/// A network in training.
pub(crate) struct Reference {
    pub(crate) network: Network,
    pub(crate) mean: Network,
    pub(crate) square: Network,
    offsets: Vec<f32>,
    scale: f32,
    adam: Adam,
    powers: [f64; 2],
}

impl Reference {
    pub(crate) fn new(network: &Network, input: &InputMap, adam: Adam) -> Reference {
        let inputs = network.layers[0].inputs;
        let offset = |i: usize| match input.offsets() {
            [single] => *single,
            each => each[i],
        };
        Reference {
            network: network.clone(),
            mean: Network::zeros(&network.shape()),
            square: Network::zeros(&network.shape()),
            offsets: (0..inputs).map(|i| offset(i) / input.scale()).collect(),
            scale: input.scale(),
            adam,
            powers: [1.0; 2],
        }
    }

    /// One step on the records that `which` names. Returns the sum of their losses.
    pub(crate) fn step(
        &mut self,
        view: Option<&impl View>,
        records: Records<'_>,
        which: &[u32],
        targets: &Targets<'_>,
        rate: f64,
    ) -> f64 {
        let seen = match view {
            Some(view) => seen(&self.network, view),
            None => self.network.clone(),
        };
        let mut gradient = Network::zeros(&seen.shape());
        let mut losses = 0.0;
        let mut passes = Vec::new();
        for &index in which {
            let start = index as usize * records.width;
            let features = &records.features[start..start + records.width];
            let hidden_1 = relu(self.first(&seen.layers[0], features));
            let hidden_2 = relu(dense(&seen.layers[1], &hidden_1));
            let logits = dense(&seen.layers[2], &hidden_2);
            let (loss, delta_3) = loss(&logits, targets, index as usize, which.len());
            losses += f64::from(loss);
            let delta_2 = back(&seen.layers[2], &delta_3, &hidden_2);
            let delta_1 = back(&seen.layers[1], &delta_2, &hidden_1);
            let x: Vec<f32> = features.iter().map(|&u| self.x(u)).collect();
            passes.push([(x, delta_1), (hidden_1, delta_2), (hidden_2, delta_3)]);
        }
        let begin = 2f32.powi(-50);
        for (number, layer) in gradient.layers.iter_mut().enumerate() {
            for pass in &passes {
                for (bias, delta) in layer.bias.iter_mut().zip(&pass[number].1) {
                    *bias += delta;
                }
            }
            for i in 0..layer.inputs {
                for o in 0..layer.outputs {
                    let mut g = match number {
                        0 => (-self.offsets[i]).mul_add(layer.bias[o], begin),
                        _ => begin,
                    };
                    for pass in &passes {
                        let (x, delta) = &pass[number];
                        if number > 0 || x[i] != 0.0 {
                            g = x[i].mul_add(delta[o], g);
                        }
                    }
                    layer.weights[i * layer.outputs + o] = g;
                }
            }
            layer.bias.iter_mut().for_each(|bias| *bias += begin);
        }
        self.optimise(&gradient, rate);
        losses
    }

    fn x(&self, u: u8) -> f32 {
        f32::from(u) / 255.0 / self.scale
    }

    fn first(&self, layer: &Layer, features: &[u8]) -> Vec<f32> {
        let part = layer.inputs.div_ceil(8);
        let mut sums = layer.bias.clone();
        for (o, z) in sums.iter_mut().enumerate() {
            for k in 0..8 {
                let rows = (k * part).min(layer.inputs)..((k + 1) * part).min(layer.inputs);
                let weight = |i: usize| layer.weights[i * layer.outputs + o];
                let mut s = 0.0;
                for i in rows.clone() {
                    s = weight(i).mul_add(-self.offsets[i], s);
                }
                for i in rows {
                    if features[i] != 0 {
                        s = self.x(features[i]).mul_add(weight(i), s);
                    }
                }
                *z += s;
            }
        }
        sums
    }

    fn optimise(&mut self, gradient: &Network, rate: f64) {
        self.powers[0] *= self.adam.beta_1;
        self.powers[1] *= self.adam.beta_2;
        let a = (rate * (1.0 - self.powers[1]).sqrt() / (1.0 - self.powers[0])) as f32;
        let gains = [1.0 - self.adam.beta_1, 1.0 - self.adam.beta_2].map(|gain| gain as f32);
        let epsilon = self.adam.epsilon as f32;
        let decay = (rate * self.adam.weight_decay) as f32;
        let decays = self.adam.weight_decay != 0.0;
        let step = |w: &mut f32, m: &mut f32, v: &mut f32, g: f32, decays: bool| {
            *m = (g - *m).mul_add(gains[0], *m);
            *v = (g * g - *v).mul_add(gains[1], *v);
            if decays {
                *w = w.mul_add(-decay, *w);
            }
            *w = (*m / (v.sqrt() + epsilon)).mul_add(-a, *w);
        };
        for number in 0..3 {
            let (layer, g) = (&mut self.network.layers[number], &gradient.layers[number]);
            let (mean, square) = (
                &mut self.mean.layers[number],
                &mut self.square.layers[number],
            );
            for i in 0..g.weights.len() {
                let (m, v) = (&mut mean.weights[i], &mut square.weights[i]);
                step(&mut layer.weights[i], m, v, g.weights[i], decays);
            }
            for o in 0..g.bias.len() {
                let (m, v) = (&mut mean.bias[o], &mut square.bias[o]);
                step(&mut layer.bias[o], m, v, g.bias[o], false);
            }
        }
    }
}

fn dense(layer: &Layer, x: &[f32]) -> Vec<f32> {
    let mut sums = layer.bias.clone();
    for (o, z) in sums.iter_mut().enumerate() {
        for (i, x) in x.iter().enumerate() {
            *z = x.mul_add(layer.weights[i * layer.outputs + o], *z);
        }
    }
    sums
}

fn relu(z: Vec<f32>) -> Vec<f32> {
    z.into_iter()
        .map(|z| if z > 0.0 { z } else { 0.0 })
        .collect()
}

fn back(layer: &Layer, delta: &[f32], below: &[f32]) -> Vec<f32> {
    let mut deltas = vec![0.0f32; layer.inputs];
    for (j, value) in deltas.iter_mut().enumerate() {
        for (k, delta) in delta.iter().enumerate() {
            *value = delta.mul_add(layer.weights[j * layer.outputs + k], *value);
        }
        if below[j] <= 0.0 {
            *value = 0.0;
        }
    }
    deltas
}

fn loss(logits: &[f32], targets: &Targets<'_>, index: usize, batch: usize) -> (f32, Vec<f32>) {
    let classes = logits.len();
    let (t, temperature): (Vec<f32>, f64) = match targets {
        Targets::Labels { labels, smoothing } => {
            let low = smoothing / classes as f64;
            let of = |c| match usize::from(labels[index]) == c {
                true => (1.0 - smoothing + low) as f32,
                false => low as f32,
            };
            ((0..classes).map(of).collect(), 1.0)
        }
        Targets::Soft {
            probabilities,
            temperature,
            ..
        } => {
            let row = &probabilities[index * classes..][..classes];
            (row.to_vec(), *temperature)
        }
    };
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let m = largest / temperature as f32;
    let y: Vec<f32> = logits.iter().map(|z| z / temperature as f32 - m).collect();
    let (mut s, mut h) = (0.0f32, 0.0f32);
    for (y, t) in y.iter().zip(&t) {
        s += libm::expf(*y);
        h = t.mul_add(*y, h);
    }
    let factor = (temperature / batch as f64) as f32;
    let delta = y
        .iter()
        .zip(&t)
        .map(|(y, t)| (libm::expf(*y) / s - t) * factor);
    let square = (temperature * temperature) as f32;
    (square * (libm::logf(s) - h), delta.collect())
}

/// The network that a view shows.
fn seen(network: &Network, view: &impl View) -> Network {
    let mut seen = network.clone();
    for (number, layer) in seen.layers.iter_mut().enumerate() {
        for row in layer.weights.chunks_mut(layer.outputs) {
            let weights = row.to_vec();
            view.rewrite(number, &weights, row);
        }
    }
    seen
}
