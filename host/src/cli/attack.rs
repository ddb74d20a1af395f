//! Arguments of `sealnet attack`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::options::{ComputeOptions, DataOptions, InputOption, StoreOptions};
use super::{PartArg, values};

/// `sealnet attack`
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct AttackArgs {
    #[command(subcommand)]
    pub(crate) command: AttackCommand,
}

pub(crate) const ABOUT_ATTACK: &str = "\
Make data that is adversarial before anyone seals it, to see what notices it.

fgsm, pgd and jsma move records so that a network takes them for something else; poison changes training records so that \
a network learns something else. No hash and no signature can see either: they seal what they are given.

A model in integers has no gradient of use. It is attacked through the real network that it rounds, and judged by its own \
answers. Every attack gives the same bytes on every machine, with any number of threads.";

const ABOUT_TAMPER: &str = "\
Tamper with what is sealed, many times over, and count what is refused and why.

A small vault is sealed, a network trained on it, exported, and given to a simulated device. Then each trial changes one of \
them in one way, at random places, and lets open, export, the device's boot, the device or its client meet it: it must be \
refused for the right reason, and where records fail, those that were touched must be named and no others. What nobody \
touched is met as well, and must be accepted. Exit code 1 says that a trial was not detected, or that something whole was \
refused.

Everything is made in a temporary folder with keys of its own, and gone at the end.";

/// Which attack.
#[derive(Debug, Subcommand)]
pub(crate) enum AttackCommand {
    /// One step along the sign of the loss's gradient (Goodfellow et al. 2015)
    Fgsm(FgsmArgs),
    /// Many such steps, from a random place (Madry et al. 2018)
    Pgd(PgdArgs),
    /// Few features moved far, by saliency maps (Papernot et al. 2016)
    Jsma(JsmaArgs),
    /// Change training records: labels flipped, FGSM records with wrong labels, a backdoor
    Poison(PoisonArgs),
    /// Tamper with what is sealed, many times over, and count what is refused and why
    #[command(long_about = ABOUT_TAMPER)]
    Tamper(TamperArgs),
}

/// Who is attacked, with what, and what is kept.
#[derive(Debug, Args)]
pub(crate) struct EvasionArgs {
    /// The network: weights, or a sealed model (which needs --keys)
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// The records: a vault, a folder of IDX files, a CSV file, or `mnist`
    #[arg(value_name = "STORE|DATA")]
    pub(crate) source: String,
    /// Write the attacked records here, with their true labels: IDX files, or CSV where the name ends in .csv. Of CSV data
    /// with named classes or real numbers take --part all: whoever reads a file numbers and scales what is in it
    #[arg(short, long, value_name = "DATA")]
    pub(crate) output: Option<PathBuf>,
    /// The folder that `sealnet keygen` made, for a vault or a sealed model
    #[arg(
        long = "keys",
        value_name = "DIR",
        env = "SEALNET_KEYS",
        hide_env_values = true
    )]
    pub(crate) keys: Option<PathBuf>,
    /// Whose keys verify and open a sealed model
    #[arg(long, value_name = "ID", default_value = "0001")]
    pub(crate) device: String,
    /// Which records [default: test where the data has it, else all]
    #[arg(long, value_enum)]
    pub(crate) part: Option<PartArg>,
    /// At most this many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    #[command(flatten)]
    pub(crate) input: InputOption,
    #[command(flatten)]
    pub(crate) compute: ComputeOptions,
    #[command(flatten)]
    pub(crate) data_options: DataOptions,
    #[command(flatten)]
    pub(crate) store_options: StoreOptions,
}

/// `sealnet attack fgsm`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealnet attack fgsm model.safetensors mnist --epsilon 0.2
  sealnet attack fgsm model.sealed mnist --epsilon 0.1 --keep-background --keys keys -o adversarial")]
pub(crate) struct FgsmArgs {
    /// How far each feature moves, as a share of its range; rounded to a whole step of 255
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = values::share)]
    pub(crate) epsilon: f64,
    /// Leave features that are 0 alone: counting bright pixels does not find it then
    #[arg(long)]
    pub(crate) keep_background: bool,
    #[command(flatten)]
    pub(crate) evasion: EvasionArgs,
}

/// `sealnet attack pgd`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealnet attack pgd model.safetensors mnist --epsilon 0.1 --steps 40
  sealnet attack pgd model.sealed mnist --keys keys --json | jq .attacked_accuracy")]
pub(crate) struct PgdArgs {
    /// How far each feature moves at most, as a share of its range; rounded to a whole step of 255
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = values::share)]
    pub(crate) epsilon: f64,
    /// How far it moves in a step [default: a tenth of epsilon, rounded up]
    #[arg(long, value_name = "SHARE", value_parser = values::share)]
    pub(crate) step: Option<f64>,
    /// How many steps
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) steps: u32,
    /// Leave features that are 0 alone
    #[arg(long)]
    pub(crate) keep_background: bool,
    /// Decides where within epsilon each record begins
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Begin at the records themselves (the basic iterative method, Kurakin et al. 2017)
    #[arg(long, conflicts_with = "seed")]
    pub(crate) from_record: bool,
    #[command(flatten)]
    pub(crate) evasion: EvasionArgs,
}

/// `sealnet attack jsma`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealnet attack jsma model.safetensors mnist
  sealnet attack jsma model.safetensors mnist --theta 0.1 --gamma 1 --target next --limit 1000")]
pub(crate) struct JsmaArgs {
    /// How far both features of a pair move in a step, as a share of their range; downwards where negative
    #[arg(long, value_name = "SHARE", default_value = "1", value_parser = values::signed_share, allow_negative_numbers = true)]
    pub(crate) theta: f64,
    /// The share of features that may be touched: the attack goes on while no more are, so the last pair may be beyond
    #[arg(long, value_name = "SHARE", default_value = "0.145", value_parser = values::share)]
    pub(crate) gamma: f64,
    /// Which class each record is to be taken for
    #[arg(long, value_enum, default_value_t = TargetArg::Random)]
    pub(crate) target: TargetArg,
    /// The class of --target class
    #[arg(long, value_name = "N")]
    pub(crate) class: Option<u16>,
    /// What the saliency map is of
    #[arg(long, value_enum, default_value_t = SaliencyArg::Probabilities)]
    pub(crate) saliency: SaliencyArg,
    /// Decides random targets
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) evasion: EvasionArgs,
}

/// Which class a record is to be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetArg {
    /// One of the others, each as likely as the next
    Random,
    /// The one that the network thinks likeliest after its prediction
    Likeliest,
    /// The one that it thinks least likely
    Unlikeliest,
    /// The next one, 0 after the last
    Next,
    /// The one that --class says
    Class,
}

/// What a saliency map is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SaliencyArg {
    /// The softmax's probabilities
    Probabilities,
    /// The logits; far slower
    Logits,
}

/// `sealnet attack poison`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealnet attack poison mnist -o poisoned --kind flip --rate 0.05
  sealnet attack poison mnist -o poisoned --kind fgsm --model model.safetensors --epsilon 0.2 --rate 0.1
  sealnet attack poison mnist -o poisoned --kind backdoor --class 7 --rate 0.01 --json | jq .records")]
pub(crate) struct PoisonArgs {
    /// The records: a folder of IDX files, a CSV file, or `mnist`; of those with a training part that alone is poisoned
    #[arg(value_name = "DATA")]
    pub(crate) data: String,
    /// Where all records go, those poisoned among them: IDX files, or CSV where the name ends in .csv
    #[arg(short, long, value_name = "DATA")]
    pub(crate) output: PathBuf,
    /// What is done to a record
    #[arg(long, value_enum)]
    pub(crate) kind: PoisonArg,
    /// To what share of the records
    #[arg(long, value_name = "SHARE", default_value = "0.05", value_parser = values::share)]
    pub(crate) rate: f64,
    /// With --kind fgsm: the weights of the network that is attacked
    #[arg(long, value_name = "MODEL.safetensors")]
    pub(crate) model: Option<PathBuf>,
    /// With --kind fgsm: how far each feature moves, as a share of its range [default: 0.2]
    #[arg(long, value_name = "SHARE", value_parser = values::share)]
    pub(crate) epsilon: Option<f64>,
    /// With --kind backdoor: the class that its square is to stand for [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) class: Option<u16>,
    /// With --kind backdoor: the square's side in pixels [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) side: Option<usize>,
    /// Decides which records, and what label
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) input: InputOption,
    #[command(flatten)]
    pub(crate) data_options: DataOptions,
}

/// `sealnet attack tamper`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealnet attack tamper --trials 100000 --clean 10000
  sealnet attack tamper --json | jq '.kinds[] | {tampering, detected, trials}'")]
pub(crate) struct TamperArgs {
    /// Records, of which the first 64 are sealed: `mnist`, or a folder or file of 784 features in 10 classes
    #[arg(value_name = "DATA", default_value = "mnist")]
    pub(crate) data: String,
    /// How many trials, shared among all kinds
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) trials: u64,
    /// How often the untouched vault is opened; weights, model and device are met a tenth as often
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(0..=100_000_000))]
    pub(crate) clean: u64,
    /// Decides what is touched, and where
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) data_options: DataOptions,
}

/// What is done to a poisoned record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PoisonArg {
    /// Another label, each as likely as the next
    Flip,
    /// FGSM, and the label that the attacked network gives it
    Fgsm,
    /// A bright square in a corner, and one label for all
    Backdoor,
}
