//! Attacks beside IBM's Adversarial Robustness Toolbox, on the same weights and MNIST's test images.

use sealnet::attack::{Evasion, Fgsm, Jsma, Pgd, Saliency, Target, Where};
use sealnet::dataset::split::split;
use sealnet::dataset::{self, LoadOptions};
use sealnet::progress::Silent;
use sealnet::train::recipe::PAPER_HIDDEN;
use sealnet::train::{
    self, Backend, Compute, InputMap, Judge, Network, Plan, Recipe, Records, Shape,
};
use sealnet_tests::Peer;
use sealnet_tests::network::{Batch, Folder};
use serde_json::{Value, json};

/// A network by the paper's recipe, the first test images, and ART with both.
struct Setting {
    network: Network,
    batch: Batch,
    folder: Folder,
    peer: Peer,
}

impl Setting {
    fn new(records: usize) -> Setting {
        let data = dataset::load("mnist", &LoadOptions::default(), &Silent)
            .expect("MNIST is cached or can be fetched: `tests/run setup`");
        let split = split(&data, None).unwrap();
        let plan = Plan {
            records: Records::from(&data),
            training: &split.train,
            validation: &[],
            shape: Shape::new(784, PAPER_HIDDEN, 10).unwrap(),
            image: None,
            recipe: &Recipe::paper(),
            seed: 1,
            backend: Backend::detect(),
            threads: 0,
        };
        let test = &split.test[..records];
        let features = test.iter().flat_map(|&at| data.features_of(at as usize));
        Setting {
            network: train::train(&plan, &Silent).unwrap().network,
            batch: Batch {
                features: features.copied().collect(),
                width: 784,
                labels: test.iter().map(|&at| data.labels[at as usize]).collect(),
            },
            folder: Folder::default(),
            peer: Peer::start("art_peer.py"),
        }
    }

    /// The images as we attack them.
    fn ours(&self, attack: Evasion) -> sealnet::attack::Attacked {
        let (records, all) = (self.batch.records(), self.batch.all());
        let compute = Compute::default();
        attack
            .attack(&self.network, records, &all, compute, &Silent)
            .unwrap()
    }

    /// The images as ART attacks them.
    fn art(&mut self, mut request: Value) -> Vec<u8> {
        request["weights"] = json!(self.folder.weights(&self.network));
        request["batch"] = json!(self.folder.batch(&self.batch));
        request["answer"] = json!(self.folder.path("answer"));
        self.peer.ask(&request);
        let attacked = self.folder.read("answer").i32("attacked");
        attacked
            .into_iter()
            .map(|u| u8::try_from(u).unwrap())
            .collect()
    }

    fn predictions(&self, features: &[u8]) -> Vec<u16> {
        let judge = Judge::new(&self.network, &InputMap::centred(), Backend::detect());
        let records = Records {
            features,
            width: 784,
            labels: &self.batch.labels,
        };
        judge.predictions(records, &self.batch.all()).unwrap()
    }

    /// The share of images that are taken for what they are.
    fn accuracy(&self, features: &[u8]) -> f64 {
        let said = self.predictions(features);
        let right = said.iter().zip(&self.batch.labels).filter(|(a, b)| a == b);
        right.count() as f64 / said.len() as f64
    }
}

#[test]
fn fgsm_is_arts_pixel_for_pixel() {
    let mut setting = Setting::new(2000);
    for (epsilon, moved) in [
        (26, Where::Everywhere),
        (77, Where::Everywhere),
        (51, Where::Foreground),
    ] {
        let ours = setting
            .ours(Evasion::Fgsm(Fgsm { epsilon, moved }))
            .features;
        let art = setting.art(json!({
            "attack": "fgsm",
            "epsilon": f64::from(epsilon) / 255.0,
            "foreground": moved == Where::Foreground,
        }));
        // Where nothing but rounding says which way it goes, both are right.
        let slopes = setting.folder.read("answer").f64("slopes");
        let differ = ours
            .iter()
            .zip(&art)
            .zip(slopes.chunks(784).flat_map(|row| {
                let largest = row.iter().fold(0.0f64, |most, slope| most.max(slope.abs()));
                row.iter()
                    .map(move |slope| slope.abs() / largest.max(f64::MIN_POSITIVE))
            }));
        let differ: Vec<f64> = differ
            .filter(|((a, b), _)| a != b)
            .map(|(_, slope)| slope)
            .collect();
        let most = differ.iter().copied().fold(0.0, f64::max);
        assert!(
            most < 1e-3,
            "{} pixels differ, a slope of {most}",
            differ.len()
        );
        assert!(
            differ.len() < ours.len() / 10_000,
            "{} pixels differ",
            differ.len()
        );
        let (before, after) = (
            setting.accuracy(&setting.batch.features),
            setting.accuracy(&ours),
        );
        assert!(before > 0.93 && after < 0.6, "{before} {after}");
    }
}

#[test]
fn projected_gradient_descent_is_arts() {
    let mut setting = Setting::new(1000);
    let attack = |seed| {
        Evasion::Pgd(Pgd {
            epsilon: 26,
            step: 3,
            steps: 20,
            moved: Where::Everywhere,
            seed,
        })
    };
    let ours = setting.ours(attack(None)).features;
    let art = setting.art(json!({
        "attack": "pgd",
        "epsilon": 26.0 / 255.0,
        "step": 3.0 / 255.0,
        "steps": 20,
    }));
    // One sign that rounding decides moves the image that the next step starts from.
    let alike = ours
        .chunks(784)
        .zip(art.chunks(784))
        .filter(|(a, b)| a == b)
        .count();
    assert!(alike > 950, "{alike} of 1000 images are the same");
    let [clean, plain, random, theirs] = [
        setting.accuracy(&setting.batch.features),
        setting.accuracy(&ours),
        setting.accuracy(&setting.ours(attack(Some(1))).features),
        setting.accuracy(&art),
    ];
    assert!((plain - theirs).abs() < 0.003, "{plain} {theirs}");
    assert!(clean > 0.93 && random < 0.2, "{clean} {random}");
}

#[test]
fn saliency_maps_reach_what_arts_reach_with_as_many_pixels() {
    let mut setting = Setting::new(500);
    for (theta, gamma) in [(255, 0.145), (26, 1.0)] {
        let ours = setting.ours(Evasion::Jsma(Jsma {
            theta,
            gamma,
            saliency: Saliency::Probabilities,
            target: Target::Random,
            seed: 2,
        }));
        let fates = ours.fates.as_deref().unwrap();
        let targets: Vec<u16> = fates.iter().map(|fate| fate.target).collect();
        let art = setting.art(json!({
            "attack": "jsma",
            "theta": f64::from(theta) / 255.0,
            "gamma": gamma,
            "targets": targets,
        }));
        let count = |features: &[u8]| {
            let said = setting.predictions(features);
            let reached = said.iter().zip(&targets).filter(|(a, b)| a == b).count();
            let moved = features
                .iter()
                .zip(&setting.batch.features)
                .filter(|(a, b)| a != b);
            [reached as f64, moved.count() as f64].map(|count| count / 500.0)
        };
        let ([reached, pixels], [reached_art, pixels_art]) = (count(&ours.features), count(&art));
        assert!(
            (reached - reached_art).abs() <= 0.02,
            "{reached} {reached_art}"
        );
        assert!(
            (pixels / pixels_art - 1.0).abs() < 0.05,
            "{pixels} {pixels_art}"
        );
        assert!(reached > 0.7 && pixels > 10.0, "{reached} {pixels}");
        let said = fates.iter().filter(|fate| fate.reached).count() as f64 / 500.0;
        assert_eq!(said, reached);
    }
}
