//! Small images and small recipes that have everything.

use sealnet::random::{Random, Stream};
use sealnet::train::recipe::file;
use sealnet::train::{Backend, Plan, Recipe, Shape};

use crate::network::Batch;

/// [`TAUGHT`], read.
pub fn taught() -> Recipe {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.toml");
    std::fs::write(&path, TAUGHT).unwrap();
    file::read(&path).unwrap().recipe
}

/// The recipe `robust`, over few epochs of several batches.
pub fn attacked() -> Recipe {
    let robust = file::find("robust").unwrap().recipe;
    Recipe {
        epochs: 2,
        batch: 32,
        ..robust
    }
}

/// Training on four of five of the images.
pub fn plan<'a>(
    images: &'a Batch,
    all: &'a [u32],
    recipe: &'a Recipe,
    seed: u64,
    backend: Backend,
    threads: usize,
) -> Plan<'a> {
    let (training, validation) = all.split_at(all.len() * 4 / 5);
    Plan {
        records: images.records(),
        training,
        validation,
        shape: Shape::new(SIDE * SIDE, [17, 10], 3).unwrap(),
        image: Some([SIDE, SIDE]),
        recipe,
        seed,
        backend,
        threads,
    }
}

/// Bars that lie, stand or lean, somewhere on a dark ground.
pub fn images(count: usize) -> Batch {
    let mut random = Random::new(9, Stream::Split);
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (label, at) = (random.below(3), 3 + random.below(SIDE as u32 - 6) as usize);
        let mut image = vec![0u8; SIDE * SIDE];
        for along in 2..SIDE - 2 {
            let (line, column) = match label {
                0 => (at, along),
                1 => (along, at),
                _ => (along, (along + at) % SIDE),
            };
            image[line * SIDE + column] = 128 + random.below(128) as u8;
        }
        features.extend(image);
        labels.push(label as u16);
    }
    Batch {
        features,
        width: SIDE * SIDE,
        labels,
    }
}

/// Everything that a recipe may have, over so few steps that the portable kernel takes seconds.
pub const TAUGHT: &str = r#"
name = "small"
batch = 32
epochs = 4
input = "standardised"
init = "he-uniform"
loss = "categorical-cross-entropy"

[optimizer.adam]
learning_rate = 0.004
beta_1 = 0.9
beta_2 = 0.999
epsilon = 1e-7
weight_decay = 0.02

[schedule]
warm_up = 0.1
decay = "cosine"

[augmentation]
share = 0.9
rotation = 5.0
scale = 0.05
shear = 0.05
shift = 0.5
elastic = 0.2

[teacher]
channels = [32, 32, 32]
hidden = 32
epochs = 2
batch = 24
learning_rate = 0.002
weight_decay = 0.01
dropout = 0.2
average = 0.9

[teacher.schedule]
warm_up = 0.1
decay = "linear"

[teacher.augmentation]
share = 1.0
rotation = 5.0
scale = 0.05
shear = 0.05
shift = 0.5
elastic = 0.2

[distillation]
temperature = 2.0
variants = 2

[finish]
weights = "int4"
epochs = 2
"#;

/// Lines and columns of an image.
pub const SIDE: usize = 12;
