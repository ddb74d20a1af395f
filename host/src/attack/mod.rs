//! Attacks on our own data and models, to show what notices them, and what cannot.
//!
//! Two kinds, which are kept apart. [`tamper`] changes what was sealed: cryptography notices it, always. The others
//! make data that is adversarial before anyone seals it: [`gradient`] and [`jsma`] make records that a network takes for
//! something else, [`mod@poison`] makes records that teach it something else. No hash sees those.
//!
//! Epsilons and thetas are whole steps of a feature, of 255: records are bytes, and an attack on them is one too. Every
//! attack gives the same bytes on every machine, with any number of threads, however records are put together.

mod differentiable;
pub mod evasion;
pub mod gradient;
pub mod jsma;
pub mod poison;
pub mod surrogate;
pub mod tamper;

pub use differentiable::Differentiable;
pub use evasion::{Attacked, Distance, Evasion};
pub use gradient::{Batch, Fgsm, Pgd, Where};
pub use jsma::{Fate, Jsma, Saliency, Target};
pub use poison::{Poison, poison};
pub use surrogate::surrogate;
