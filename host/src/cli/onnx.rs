//! Arguments of `sealnet onnx`.

use std::path::PathBuf;

use clap::Args;

use super::options::InputOption;

/// `sealnet onnx`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealnet onnx model.safetensors -o model.onnx
  sealnet onnx keras.safetensors -o model.onnx --input u/255

The graph takes records as they are, uint8 [records, features], scales them itself, and gives logits. Its metadata \
name the weights and, where there is one, their training receipt by SHA-512. No key is used and nothing is verified: \
whoever can write the file can change it unseen.")]
pub(crate) struct OnnxArgs {
    /// The weights
    #[arg(value_name = "MODEL.safetensors")]
    pub(crate) model: PathBuf,
    /// Where the ONNX file goes
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// The training receipt [default: beside the weights, with .receipt.json at the end, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) input: InputOption,
}
