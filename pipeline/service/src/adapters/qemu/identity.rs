//! Who a guest is told it is, and the small disk that tells it in the way of NoCloud.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::program::Program;
use crate::text::hex;

/// Where the guest's user data leaves a line, each time it runs.
pub const USER_DATA_MARK: &str = "/var/tmp/muster-user-data";

/// Who a guest is told it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its name.
    pub hostname: String,
    /// What makes this instance another one than any before.
    pub instance: String,
    /// The public key that may log in, as a line of `authorized_keys`.
    pub key: String,
}

impl Identity {
    /// The identity of the guest of the job called `job`; the key is new for each boot, and so is the instance.
    pub fn new(job: &str, key: &str) -> Self {
        let hash = hex(&Sha256::digest(format!("{job}\n{key}")));
        Identity {
            hostname: format!("muster-{}", &hash[..8]),
            instance: format!("i-{}", &hash[8..25]),
            key: key.trim().to_owned(),
        }
    }

    /// The user data: a cloud-config that also cloud agents with less wit can read.
    pub fn user_data(&self) -> String {
        format!(
            "#cloud-config\ndisable_root: false\nssh_authorized_keys:\n  - {}\nruncmd:\n  - echo {} >> {USER_DATA_MARK}\n",
            self.key, self.hostname
        )
    }

    fn meta_data(&self) -> String {
        format!(
            "instance-id: {}\nlocal-hostname: {}\npublic-keys:\n  - {}\n",
            self.instance, self.hostname, self.key
        )
    }

    /// Writes the seed: a FAT disk with the label `cidata`.
    pub async fn write_seed(&self, path: &Path) -> Result<()> {
        let folder = path.parent().context("a seed needs a folder")?.join("seed");
        std::fs::create_dir_all(&folder)?;
        let files = [folder.join("meta-data"), folder.join("user-data")];
        std::fs::write(&files[0], self.meta_data())?;
        std::fs::write(&files[1], self.user_data())?;
        // A disk without a partition table, as seeds are: mformat would write one. The size in KiB is that of a floppy
        // disk, which every FAT driver knows.
        let format = Program::new("mkfs.vfat").args(["-n", "CIDATA", "-C"]).arg(path).arg("1440");
        format.run().await.context("cannot make the NoCloud seed")?;
        let copy = Program::new("mcopy").arg("-i").arg(path).args(&files).arg("::");
        copy.run().await.context("cannot fill the NoCloud seed")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity::new("cloud-base.43.1.smoketest.x86_64.bios-pc", "ssh-ed25519 AAAA muster\n")
    }

    #[test]
    fn two_boots_with_two_keys_are_two_instances() {
        let other = Identity::new("cloud-base.43.1.smoketest.x86_64.bios-pc", "ssh-ed25519 BBBB muster\n");
        assert_ne!(identity().instance, other.instance);
        assert_eq!(identity().hostname.len(), "muster-".len() + 8);
        assert_eq!(identity().instance.len(), "i-".len() + 17);
    }

    #[tokio::test]
    async fn the_seed_carries_label_name_key_and_user_data() {
        let folder = tempfile::tempdir().unwrap();
        let seed = folder.path().join("seed.img");
        let identity = identity();
        identity.write_seed(&seed).await.unwrap();
        let read = async |name: &str| {
            let program = Program::new("mtype").arg("-i").arg(&seed).arg(format!("::{name}"));
            program.run().await.unwrap().text()
        };
        let label =
            Program::new("mlabel").args(["-s", "-i"]).arg(&seed).arg("::").run().await.unwrap().text();
        assert!(label.to_lowercase().contains("cidata"), "{label}");
        assert_eq!(
            read("meta-data").await,
            format!(
                "instance-id: {}\nlocal-hostname: {}\npublic-keys:\n  - ssh-ed25519 AAAA muster\n",
                identity.instance, identity.hostname
            )
        );
        assert_eq!(read("user-data").await, identity.user_data());
    }
}
