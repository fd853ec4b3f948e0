//! The encryption options that partitions, RAID devices, volumes and automatic partitions share.

use super::super::fault::Fault;
use super::super::row::{Row, flag, number, text};
use super::super::values::Values;

pub(super) const ENCRYPTED: Row = flag!("encrypted").releases("F9-");
pub(super) const PASSPHRASE: Row = text!("passphrase").quoted().releases("F9-").needs("encrypted");
pub(super) const ESCROW: Row = text!("escrowcert").quoted().releases("F12-").needs("encrypted");
pub(super) const BACKUP: Row = flag!("backuppassphrase").releases("F12-").needs("escrowcert");
pub(super) const EARLY_CIPHER: Row = text!("cipher").quoted().releases("RHEL6").needs("encrypted");
pub(super) const CIPHER: Row = text!("cipher").quoted().releases("F18-").needs("encrypted");
pub(super) const LUKS: Row = text!("luks-version").releases("RHEL8-").needs("encrypted").default("");
pub(super) const PBKDF: Row = text!("pbkdf").releases("RHEL8-").needs("encrypted").default("");
pub(super) const PBKDF_MEMORY: Row =
    number!("pbkdf-memory").releases("RHEL8-").needs("encrypted").default("0");
pub(super) const PBKDF_TIME: Row = number!("pbkdf-time").releases("RHEL8-").needs("encrypted").default("0");
pub(super) const PBKDF_ROUNDS: Row =
    number!("pbkdf-iterations").releases("RHEL8-").needs("encrypted").default("0");
pub(super) const HARDWARE: Row =
    text!("hw-passphrase").quoted().releases("F41-").needs("encrypted").default("");

/// What holds for these options wherever they stand.
pub(super) fn settle(values: &Values) -> Result<(), Fault> {
    if values.positive("pbkdf-time").is_some() && values.positive("pbkdf-iterations").is_some() {
        return Err(Fault::new(
            "--pbkdf-time and --pbkdf-iterations exclude each other",
            "keep either --pbkdf-time or --pbkdf-iterations",
        ));
    }
    let luks2 = values.text("luks-version").is_some_and(|version| version.starts_with("luks2-"));
    if values.text("hw-passphrase").is_some() && !(values.has("encrypted") && luks2) {
        return Err(Fault::new(
            "--hw-passphrase needs encryption by the hardware",
            "add --encrypted --luks-version=luks2-hw-opal",
        ));
    }
    Ok(())
}
