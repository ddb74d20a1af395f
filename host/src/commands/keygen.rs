//! `sealnet keygen`: keys for owner, publisher and devices.

use sealnet::error::Result;
use sealnet::keys::{self, DeviceSet, KeyFolder};
use serde_json::json;

use super::Outcome;
use crate::cli::KeygenArgs;
use crate::ui::Ui;

pub(crate) fn run(args: &KeygenArgs, ui: &Ui) -> Result<Outcome> {
    let names = args.devices.iter().map(|name| keys::device_name(name));
    let names = names.collect::<Result<Vec<_>>>()?;
    let devices = DeviceSet {
        names: &names,
        clear_only: args.clear_device,
        hmac: args.hmac,
    };
    let made = keys::generate(&args.dir, devices, args.add)?;

    let folder = KeyFolder::open(&args.dir)?;
    let manifests = folder.owner_public()?.key_id().to_string();
    let models = folder.publisher_public()?.key_id().to_string();
    let root = args.dir.display();
    for file in &made.files {
        ui.line(args.dir.join(file).display())?;
    }
    ui.say(format!(
        "{} files in {root}, secret ones readable by you alone; manifests are signed by {manifests}, models by {models}",
        made.files.len(),
    ));
    ui.document(&json!({
        "folder": root.to_string(),
        "files": made.files,
        "owner_key_id": manifests,
        "publisher_key_id": models,
        "devices": args.devices,
    }))?;
    Ok(Outcome::Done)
}
