//! What can go wrong while an image is built, each kind in words of its own.
//!
//! Knows kinds and wording. Must not know how they are found out.

use muster_definition::{kickstart, treefile};

use crate::program::ProgramError;

/// Why an image could not be built, for a person; the log's own lines stand below the sentence.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The kickstart cannot be understood.
    #[error("cannot read the kickstart: {0}")]
    Kickstart(#[from] kickstart::ReadError),
    /// The treefile cannot be understood.
    #[error("cannot read the treefile: {0}")]
    Treefile(#[from] treefile::ReadError),
    /// The definition asks for what this builder cannot do.
    #[error("{at}: {what} is not supported by the local builder; {instead}")]
    Unsupported {
        /// File and line.
        at: String,
        /// What was asked for.
        what: String,
        /// What to write instead.
        instead: String,
    },
    /// No package repository is named.
    #[error("there is no package repository: name one in the recipe's packages, or in the definition")]
    NoRepository,
    /// A repository is missing, unreachable or damaged.
    #[error("the package repository {name} cannot be used:\n{lines}")]
    Repository {
        /// Its short name.
        name: String,
        /// The log's own lines.
        lines: String,
    },
    /// A package or a group does not exist.
    #[error("no repository has {names}:\n{lines}")]
    Missing {
        /// The names as they were asked for, joined by commas.
        names: String,
        /// The log's own lines.
        lines: String,
    },
    /// Packages that need what nothing provides, or that exclude each other.
    #[error("the packages cannot be installed together, a dependency is broken:\n{0}")]
    Dependency(String),
    /// A package of the frozen set is in no repository any more, and is needed.
    #[error("the build is held to a package set, and no repository has {names} any more:\n{lines}")]
    Vanished {
        /// The packages, joined by commas.
        names: String,
        /// What follows from it.
        lines: String,
    },
    /// A package was installed that the build may not take.
    #[error(
        "{0} was installed although this build may not take it: the repository changed while it was read; try again"
    )]
    NotAllowed(String),
    /// Two packages bring the same file with other contents.
    #[error("packages conflict over a file:\n{0}")]
    FileConflict(String),
    /// A repository names no key although signatures are required.
    #[error("signatures are required, but the repository {0} names no key: add gpgkeys to it in the recipe")]
    NoKey(String),
    /// A package is unsigned, or signed by a stranger.
    #[error("a package's signature does not hold, and this recipe requires signatures:\n{0}")]
    Signature(String),
    /// A package's own script failed.
    #[error(
        "the scriptlet of a package failed ({packages}); the package is broken, whatever the exit code said:\n{lines}"
    )]
    Scriptlet {
        /// The packages, joined by commas.
        packages: String,
        /// The log's own lines.
        lines: String,
    },
    /// The packages could not be installed for another reason.
    #[error("the packages could not be installed:\n{0}")]
    Install(String),
    /// A script of the definition failed.
    #[error("the script at {at} failed with {code}:\n{lines}")]
    Script {
        /// File and line of the script.
        at: String,
        /// The exit code, or the words `a signal`.
        code: String,
        /// The end of what it wrote.
        lines: String,
    },
    /// The image's root file system is too small for what is to go onto it.
    #[error(
        "the file system {mount} of {size_mib} MiB is too small: its files take {files_mib} MiB; raise its --size"
    )]
    FileSystemTooSmall {
        /// Its mount point.
        mount: String,
        /// Its size in MiB.
        size_mib: u64,
        /// The size of the files in MiB.
        files_mib: u64,
    },
    /// The disk of the image would be larger than is allowed.
    #[error("the disk would be {size_mib} MiB, more than the {limit_mib} MiB that max_disk_mib allows")]
    DiskTooLarge {
        /// What the partitions add up to, in MiB.
        size_mib: u64,
        /// The limit in MiB.
        limit_mib: u64,
    },
    /// The machine that builds is out of space.
    #[error("the disk of this machine is full ({place}); nothing is wrong with the image:\n{lines}")]
    DiskFull {
        /// The folder that the build works in.
        place: String,
        /// The log's own lines.
        lines: String,
    },
    /// Somebody, or the kernel, ended the program that installs packages.
    #[error(
        "dnf was killed from outside, perhaps because memory ran out; nothing is wrong with the packages:\n{0}"
    )]
    Killed(String),
    /// An image that boots needs a kernel.
    #[error("no kernel is installed, so the image cannot boot: add kernel to the packages")]
    NoKernel,
    /// Packages can only be installed as root.
    #[error("the local builder must run as root: it installs packages with their owners into a folder")]
    NotRoot,
    /// A program could not do its work.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// What building gives.
pub type Result<T, E = BuildError> = std::result::Result<T, E>;
