//! The users and groups of an image, and how they log in.
//!
//! Knows the four files of accounts. Must not know where names and passwords come from.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use anyhow::{Context, anyhow};
use muster_definition::kickstart::{Password, SshKey, System, User};
use uuid::Uuid;

use super::fault::Result;
use super::password;
use super::place::{exists, inside, read, write};

/// The first number of a person; lower ones belong to the system.
const FIRST_PERSON: u32 = 1000;

/// The day of 2026-01-01 since 1970, so that a password's age says nothing of the day of the build.
const CHANGED: &str = "20454";

/// Sets root's password, adds groups, users and keys. `seed` salts passwords that are written in clear.
pub fn apply(root: &Path, system: &System, seed: Uuid) -> Result<Vec<String>> {
    let mut files = Files::read(root)?;
    let mut warnings = Vec::new();
    if let Some(login) = &system.root {
        let hash = hash(login.password.as_ref(), login.locked, seed);
        files.set_password("root", &hash);
        warnings.extend(in_clear("root", login.password.as_ref()));
    }
    for group in &system.groups {
        files.add_group(&group.name, number(group.gid)?)?;
    }
    for user in &system.users {
        files.add_user(user)?;
        files.set_password(&user.name, &hash(user.password.as_ref(), user.locked, seed));
        warnings.extend(in_clear(&user.name, user.password.as_ref()));
    }
    files.write(root)?;
    for user in &system.users {
        make_home(root, &files, &user.name)?;
    }
    for key in &system.ssh_keys {
        add_key(root, &files, key)?;
    }
    Ok(warnings)
}

fn in_clear(name: &str, password: Option<&Password>) -> Option<String> {
    let clear = matches!(password, Some(Password::Plain(_)));
    clear.then(|| {
        format!("the password of {name} stands in clear in the kickstart: write it with --iscrypted")
    })
}

/// What stands in `/etc/shadow`; `!` before a hash locks it, and `*` is no password at all.
fn hash(password: Option<&Password>, locked: bool, seed: Uuid) -> String {
    let hash = match password {
        Some(Password::Crypted(hash)) => hash.clone(),
        Some(Password::Plain(clear)) => password::sha512_crypt(clear, &seed.simple().to_string()[..16]),
        None => "*".to_owned(),
    };
    if locked && !hash.starts_with('!') { format!("!{hash}") } else { hash }
}

fn number(number: Option<i64>) -> Result<Option<u32>> {
    let number = number.map(u32::try_from).transpose();
    Ok(number.context("the number of a user or group must fit 32 bits")?)
}

/// The account files, a line an entry, a colon between fields.
struct Files {
    passwd: Vec<Vec<String>>,
    group: Vec<Vec<String>>,
    shadow: Vec<Vec<String>>,
    gshadow: Option<Vec<Vec<String>>>,
}

impl Files {
    fn read(root: &Path) -> Result<Self> {
        let table = |path: &str| -> Result<Vec<Vec<String>>> {
            let text = read(root, path)?;
            Ok(text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect())
        };
        let gshadow = exists(root, "/etc/gshadow").then(|| table("/etc/gshadow")).transpose()?;
        Ok(Files {
            passwd: table("/etc/passwd")?,
            group: table("/etc/group")?,
            shadow: table("/etc/shadow")?,
            gshadow,
        })
    }

    fn write(&self, root: &Path) -> Result<()> {
        let text = |table: &[Vec<String>]| -> String {
            table.iter().map(|fields| fields.join(":") + "\n").collect()
        };
        let secret = |path: &str| {
            let metadata = inside(root, path).ok().and_then(|path| path.metadata().ok());
            metadata.map_or(0o600, |metadata| metadata.permissions().mode() & 0o7777)
        };
        write(root, "/etc/passwd", &text(&self.passwd), 0o644)?;
        write(root, "/etc/group", &text(&self.group), 0o644)?;
        write(root, "/etc/shadow", &text(&self.shadow), secret("/etc/shadow"))?;
        if let Some(gshadow) = &self.gshadow {
            write(root, "/etc/gshadow", &text(gshadow), secret("/etc/gshadow"))?;
        }
        Ok(())
    }

    fn set_password(&mut self, name: &str, hash: &str) {
        if let Some(fields) = entry(&mut self.shadow, name)
            && let Some(field) = fields.get_mut(1)
        {
            hash.clone_into(field);
            return;
        }
        let fields = [name, hash, CHANGED, "0", "99999", "7", "", "", ""];
        self.shadow.push(fields.map(str::to_owned).to_vec());
    }

    fn add_group(&mut self, name: &str, gid: Option<u32>) -> Result<u32> {
        if let Some(fields) = entry(&mut self.group, name) {
            let gid = fields.get(2).and_then(|gid| gid.parse().ok());
            return Ok(gid.ok_or_else(|| anyhow!("the group {name} has no number"))?);
        }
        let gid = gid.unwrap_or_else(|| self.free(&self.group));
        self.group.push(vec![name.to_owned(), "x".to_owned(), gid.to_string(), String::new()]);
        if let Some(gshadow) = &mut self.gshadow {
            gshadow.push(vec![name.to_owned(), "!".to_owned(), String::new(), String::new()]);
        }
        Ok(gid)
    }

    fn add_user(&mut self, user: &User) -> Result<()> {
        let uid = number(user.uid)?.unwrap_or_else(|| self.free(&self.passwd));
        let gid = match number(user.gid)? {
            Some(gid) if self.group.iter().any(|fields| fields.get(2) == Some(&gid.to_string())) => gid,
            Some(gid) => self.add_group(&user.name, Some(gid))?,
            None => self.add_group(&user.name, Some(uid))?,
        };
        let home = user.home.clone().unwrap_or_else(|| format!("/home/{}", user.name));
        let shell = user.shell.clone().unwrap_or_else(|| "/bin/bash".to_owned());
        let (uid, gid, gecos) = (uid.to_string(), gid.to_string(), user.gecos.clone().unwrap_or_default());
        let fields = vec![user.name.clone(), "x".to_owned(), uid, gid, gecos, home, shell];
        match entry(&mut self.passwd, &user.name) {
            Some(there) => *there = fields,
            None => self.passwd.push(fields),
        }
        for group in &user.groups {
            // A group may be written with its number, as `wheel(10)`.
            let name = group.split('(').next().unwrap_or(group);
            self.add_group(name, None)?;
            for table in std::iter::once(&mut self.group).chain(self.gshadow.as_mut()) {
                add_member(table, name, &user.name);
            }
        }
        Ok(())
    }

    /// The lowest number from 1000 on that neither a user nor a group of this table has.
    fn free(&self, table: &[Vec<String>]) -> u32 {
        let taken = |number: u32| {
            let number = number.to_string();
            table.iter().chain(&self.passwd).any(|fields| fields.get(2) == Some(&number))
        };
        (FIRST_PERSON..u32::MAX).find(|number| !taken(*number)).unwrap_or(FIRST_PERSON)
    }

    fn home(&self, name: &str) -> Result<Home> {
        let field = |index: usize| {
            let fields = self.passwd.iter().find(|fields| fields.first().is_some_and(|first| first == name));
            fields.and_then(|fields| fields.get(index)).cloned()
        };
        let (Some(uid), Some(gid), Some(path)) = (field(2), field(3), field(5)) else {
            return Err(anyhow!("there is no user {name} in the image").into());
        };
        let parse =
            |text: &str| text.parse::<u32>().with_context(|| format!("{text} is no number of a user"));
        Ok(Home { uid: parse(&uid)?, gid: parse(&gid)?, path })
    }
}

/// Whose home it is, and where.
struct Home {
    uid: u32,
    gid: u32,
    path: String,
}

fn entry<'a>(table: &'a mut [Vec<String>], name: &str) -> Option<&'a mut Vec<String>> {
    table.iter_mut().find(|fields| fields.first().is_some_and(|first| first == name))
}

fn add_member(table: &mut [Vec<String>], group: &str, user: &str) {
    let Some(members) = entry(table, group).and_then(|fields| fields.last_mut()) else { return };
    if members.split(',').any(|member| member == user) {
        return;
    }
    if !members.is_empty() {
        members.push(',');
    }
    members.push_str(user);
}

fn make_home(root: &Path, files: &Files, name: &str) -> Result<()> {
    let home = files.home(name)?;
    let folder = inside(root, &home.path)?;
    if folder.exists() {
        return Ok(());
    }
    let skeleton = inside(root, "/etc/skel")?;
    let make = || -> std::io::Result<()> {
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        chown(&folder, Some(home.uid), Some(home.gid))?;
        for file in fs::read_dir(skeleton).into_iter().flatten() {
            let file = file?;
            if file.file_type()?.is_file() {
                let copy = folder.join(file.file_name());
                fs::copy(file.path(), &copy)?;
                chown(&copy, Some(home.uid), Some(home.gid))?;
            }
        }
        Ok(())
    };
    make().with_context(|| format!("cannot make the home of {name}"))?;
    Ok(())
}

fn add_key(root: &Path, files: &Files, key: &SshKey) -> Result<()> {
    let home = files.home(&key.user)?;
    let folder = inside(root, &format!("{}/.ssh", home.path))?;
    let add = || -> std::io::Result<()> {
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        chown(&folder, Some(home.uid), Some(home.gid))?;
        let file = folder.join("authorized_keys");
        let known = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, format!("{known}{}\n", key.key))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        chown(&file, Some(home.uid), Some(home.gid))
    };
    add().with_context(|| format!("cannot add a key of {}", key.user))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let table =
            |text: &str| text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect();
        Files {
            passwd: table("root:x:0:0:Super User:/root:/bin/bash"),
            group: table("root:x:0:\nwheel:x:10:someone"),
            shadow: table("root:*:20454:0:99999:7:::"),
            gshadow: Some(table("root:::\nwheel:::someone")),
        }
    }

    #[test]
    fn a_user_gets_a_group_a_number_and_membership() {
        let mut files = files();
        let user = User { name: "fedora".to_owned(), groups: vec!["wheel".to_owned()], ..User::default() };
        files.add_user(&user).unwrap();
        assert_eq!(files.passwd[1].join(":"), "fedora:x:1000:1000::/home/fedora:/bin/bash");
        assert_eq!(files.group[1].join(":"), "wheel:x:10:someone,fedora");
        assert_eq!(files.group[2].join(":"), "fedora:x:1000:");
        assert_eq!(files.gshadow.unwrap()[1].join(":"), "wheel:::someone,fedora");
    }

    #[test]
    fn a_locked_password_keeps_its_hash_behind_an_exclamation_mark() {
        let crypted = Password::Crypted("$6$a$b".to_owned());
        assert_eq!(hash(Some(&crypted), true, Uuid::nil()), "!$6$a$b");
        assert_eq!(hash(Some(&crypted), false, Uuid::nil()), "$6$a$b");
        assert_eq!(hash(None, true, Uuid::nil()), "!*");
    }
}
