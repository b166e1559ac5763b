//! Keys, and signing with them.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use agent_plan::{CheckedPlan, KEY_FILE_BYTES_MAX, PlanKey};
use hal_diagnostics::Document;
use serde_json::json;

use super::{PlanError, files};

/// `takt plan keygen`.
pub(super) fn generate(name: &Path, json: bool) -> Result<u8, PlanError> {
    let mut seed = [0; 32];
    let random = Path::new("/dev/urandom");
    std::fs::File::open(random)
        .and_then(|mut source| source.read_exact(&mut seed))
        .map_err(|error| PlanError::file(random, error))?;
    let key = PlanKey::from_seed(&seed);
    let with = |extension: &str| PathBuf::from(format!("{}.{extension}", name.display()));
    let (private, public) = (with("key"), with("pem"));
    let pem = |path: &Path, pem: Result<String, agent_plan::KeyError>| {
        pem.map_err(|error| PlanError::file(path, error))
    };
    create(&private, 0o600, &pem(&private, key.to_pem())?)?;
    create(&public, 0o644, &pem(&public, key.public_pem())?)?;
    if json {
        println!("{:#}", json!({ "keyId": key.id(), "private": private, "public": public }));
    } else {
        println!("key {}", key.id());
        println!("  {}  signs plans: keep it where plans are made, and nowhere else", private.display());
        println!("  {}  goes into the [plans] keys folder of each agent", public.display());
    }
    Ok(0)
}

/// A key that is there is never overwritten.
fn create(path: &Path, mode: u32, text: &str) -> Result<(), PlanError> {
    let created = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    created
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(|error| PlanError::file(path, error))
}

/// `takt plan sign`.
pub(super) fn sign(file: &Path, key: &Path, output: Option<&Path>, json: bool) -> Result<u8, PlanError> {
    let plan = files::read_scheduling(file)?;
    let checked = CheckedPlan::of(&plan).map_err(|refusal| PlanError::file(file, refusal))?;
    let pem = Document::read_at_most(key, KEY_FILE_BYTES_MAX as u64)?;
    let plan_key = PlanKey::from_pem(pem.text()).map_err(|error| PlanError::file(key, error))?;
    let mut text = plan_key.sign(plan).to_json();
    text.push(b'\n');
    match output {
        None => std::io::stdout().write_all(&text).map_err(|error| PlanError::file(Path::new("-"), error))?,
        Some(output) => {
            std::fs::write(output, &text).map_err(|error| PlanError::file(output, error))?;
            if json {
                println!(
                    "{:#}",
                    json!({
                        "epoch": checked.id.epoch,
                        "digest": checked.id.digest,
                        "keyId": plan_key.id(),
                        "output": output,
                    })
                );
            } else {
                println!("{}: plan {} signed with the key {}", output.display(), checked.id, plan_key.id());
            }
        }
    }
    Ok(0)
}
