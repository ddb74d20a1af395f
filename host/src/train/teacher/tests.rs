//! The teacher's layers against the plainest way to say them, in f64.

use super::group::Backward;
use super::*;

const FORM: Form = Form {
    image: [9, 8],
    channels: [32, 32, 64],
    hidden: 32,
    classes: 3,
};

/// The mean cross-entropy of images, every layer by its definition.
fn loss(weights: &[Vec<f64>; 10], images: &[Vec<u8>], labels: &[usize], kept: &[f32]) -> f64 {
    let mut total = 0.0;
    for (index, (image, &label)) in images.iter().zip(labels).enumerate() {
        let [mut lines, mut columns] = FORM.image;
        let mut channels = 1;
        let mut values: Vec<f64> = image.iter().map(|&u| f64::from(u) / 255.0).collect();
        for (stage, outputs) in FORM.channels.into_iter().enumerate() {
            let (matrix, bias) = (&weights[2 * stage], &weights[2 * stage + 1]);
            let at = |values: &[f64], y: usize, x: usize, c: usize| -> f64 {
                let inside = (1..=lines).contains(&y) && (1..=columns).contains(&x);
                if inside {
                    values[((y - 1) * columns + x - 1) * channels + c]
                } else {
                    0.0
                }
            };
            let mut pooled = Vec::new();
            for y in 0..lines / 2 {
                for x in 0..columns / 2 {
                    for o in 0..outputs {
                        let mut most = 0.0f64;
                        for (y, x) in [
                            (2 * y, 2 * x),
                            (2 * y, 2 * x + 1),
                            (2 * y + 1, 2 * x),
                            (2 * y + 1, 2 * x + 1),
                        ] {
                            let mut sum = bias[o];
                            for tap in 0..9 {
                                for c in 0..channels {
                                    let weight = matrix[(tap * channels + c) * outputs + o];
                                    sum += weight * at(&values, y + tap / 3, x + tap % 3, c);
                                }
                            }
                            most = most.max(sum);
                        }
                        pooled.push(most);
                    }
                }
            }
            (lines, columns, channels, values) = (lines / 2, columns / 2, outputs, pooled);
        }
        let dense = |inputs: &[f64], layer: usize| -> Vec<f64> {
            let outputs = weights[2 * layer + 1].len();
            let sum = |o: usize| {
                let terms = inputs
                    .iter()
                    .enumerate()
                    .map(|(i, x)| x * weights[2 * layer][i * outputs + o]);
                weights[2 * layer + 1][o] + terms.sum::<f64>()
            };
            (0..outputs).map(sum).collect()
        };
        let hidden: Vec<f64> = dense(&values, 3)
            .iter()
            .zip(&kept[index * FORM.hidden..])
            .map(|(sum, &factor)| sum.max(0.0) * f64::from(factor))
            .collect();
        let logits = &dense(&hidden, 4)[..FORM.classes];
        let sum: f64 = logits.iter().map(|z| z.exp()).sum();
        total += (sum.ln() - logits[label]) / images.len() as f64;
    }
    total
}

#[test]
fn gradients_are_those_of_the_loss() {
    let mut random = Random::new(3, Stream::Init);
    let mut weights = FORM.initial(&mut random);
    for layer in &mut weights.0 {
        let last = layer.outputs == FORM.classes.next_multiple_of(gemm::PANEL)
            && layer.inputs == FORM.hidden;
        let outputs = if last { FORM.classes } else { layer.outputs };
        layer.bias[..outputs].fill_with(|| (random.unit() - 0.5) / 4.0);
    }
    let images: Vec<Vec<u8>> = (0..5)
        .map(|_| (0..72).map(|_| random.below(256) as u8).collect())
        .collect();
    let labels = [0, 2, 1, 1, 0];
    let kept: Vec<f32> = (0..5 * FORM.hidden)
        .map(|_| if random.unit() < 0.3 { 0.0 } else { 1.25 })
        .collect();
    let group: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();

    let mut packed = Packed::default();
    packed.fill(&weights);
    let mut reference: Option<Weights> = None;
    for backend in Backend::available() {
        let (mut workspace, mut gradient) = (Workspace::new(&FORM, GROUP), FORM.zeros());
        let (packed, kept) = (&packed, Some(&kept[..]));
        backend.run(Forward {
            workspace: &mut workspace,
            weights: &weights,
            packed,
            group: &group,
            kept,
        });
        for (image, &label) in labels.iter().enumerate() {
            let mut p = workspace.logits(image).to_vec();
            judged(&mut p, label);
            for (class, (to, p)) in workspace.logit_deltas(image).iter_mut().zip(p).enumerate() {
                *to = (p - if class == label { 1.0 } else { 0.0 }) / 5.0;
            }
        }
        let workspace = &mut workspace;
        backend.run(Backward {
            workspace,
            packed,
            images: 5,
            kept,
            gradient: &mut gradient,
        });
        match &reference {
            None => reference = Some(gradient),
            Some(reference) => assert_eq!(&gradient, reference, "{}", backend.name()),
        }
    }
    let gradient = reference.unwrap();

    let mut all: [Vec<f64>; 10] = std::array::from_fn(|index| {
        let layer = &weights.0[index / 2];
        let numbers = if index % 2 == 0 {
            &layer.weights
        } else {
            &layer.bias
        };
        numbers.iter().map(|&w| f64::from(w)).collect()
    });
    let mut seen = 0;
    for index in 0..10 {
        for _ in 0..12 {
            let at = random.below(all[index].len() as u32) as usize;
            let middle = all[index][at];
            let mut slope = 0.0;
            for side in [1.0, -1.0] {
                all[index][at] = middle + side * 1e-6;
                slope += side * loss(&all, &images, &labels, &kept) / 2e-6;
            }
            all[index][at] = middle;
            let layer = &gradient.0[index / 2];
            let got = f64::from(if index % 2 == 0 {
                layer.weights[at]
            } else {
                layer.bias[at]
            });
            assert!(
                (got - slope).abs() < 1e-5 + 1e-3 * slope.abs(),
                "{index} {at}: {got} {slope}"
            );
            seen += usize::from(slope.abs() > 1e-4);
        }
    }
    assert!(seen > 30, "only {seen} derivatives were above zero");
}

/// Time left is told by it.
#[test]
fn a_wider_teacher_takes_more_work() {
    let best = crate::train::recipe::file::find("best").unwrap().recipe;
    let narrow = best.teacher.unwrap();
    let wide = TeacherRecipe {
        channels: narrow.channels.map(|channels| 2 * channels),
        ..narrow.clone()
    };
    assert_eq!((narrow.work(), narrow.asking()), (89, 29));
    assert!(narrow.fits([28, 28]).is_ok() && wide.fits([28, 28]).is_ok());
    let huge = TeacherRecipe {
        channels: [1024; 3],
        batch: 1024,
        ..narrow.clone()
    };
    let refused = huge.fits([28, 28]).unwrap_err().to_string();
    assert!(refused.contains("16 GB"), "{refused}");
    assert!(narrow.fits([28, 7]).is_err());
    assert!((3 * 89..=4 * 89).contains(&wide.work()), "{}", wide.work());
}
