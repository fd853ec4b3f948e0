//! A private view of the machine in which an image's own programs run.
//!
//! The image's root gets a `/proc` and a small `/dev` of its own in a mount namespace that nobody else sees; they
//! vanish with the last process in it. The machine's own mounts are never touched.

use std::path::Path;

use crate::program::Program;

/// Prepares the root `$1` and becomes what follows.
const PREPARE: &str = r#"set -e
root=$1; shift
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
for node in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"
done
mknod -m 666 "$root/dev/tty" c 5 0
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
mkdir -m 1777 "$root/dev/shm"
exec "$@""#;

/// What a program in the chamber can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The network and the machine's processes, as the package manager needs.
    Network,
    /// Itself alone.
    Nothing,
}

/// `program`, made to run its arguments with `/proc` and `/dev` prepared below `root`.
pub fn chamber(program: Program, root: &Path, reach: Reach) -> Program {
    let program = program.args(["--mount", "--propagation", "private"]);
    let program = match reach {
        Reach::Network => program,
        Reach::Nothing => program.args(["--pid", "--ipc", "--uts", "--net", "--fork", "--kill-child"]),
    };
    program.args(["--", "/bin/sh", "-c", PREPARE, "chamber"]).arg(root)
}
