//! The library of `shim.c`, and the files with which it is told what to do.
//!
//! Deliberately absent: libfaketime. It breaks programs with an allocator of their own at start.

use crate::Missing;
use std::os::unix::fs::FileExt as _;
use std::panic::panic_any;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{fs, io};
use tempfile::TempDir;

/// Whose programs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    /// The first node, whatever becomes of it.
    Primary,
    /// The other two.
    Replicas,
    Segue,
}

/// What can be turned. The numbers are places in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Knob {
    /// Seconds.
    Clock = 0,
    /// Milliseconds.
    Fsync = 1,
    /// 0 or 1.
    Full = 2,
}

/// The knobs of one run.
#[derive(Debug)]
pub(crate) struct Shim {
    dir: TempDir,
}

impl Shim {
    /// Builds the library if nobody has, and turns everything to 0.
    pub(crate) fn new() -> Self {
        library();
        let dir = TempDir::new().expect("a temporary directory");
        let shim = Self { dir };
        for side in [Side::Primary, Side::Replicas, Side::Segue] {
            fs::write(shim.file(side), [0; 24]).expect("the directory is ours");
        }
        shim
    }

    fn file(&self, side: Side) -> PathBuf {
        self.dir.path().join(match side {
            Side::Primary => "primary",
            Side::Replicas => "replicas",
            Side::Segue => "segue",
        })
    }

    /// What the programs of one side need in their environment.
    pub(crate) fn environment(&self, side: Side) -> [(String, String); 2] {
        let text = |it: &Path| it.to_str().expect("UTF-8").to_owned();
        [
            ("LD_PRELOAD".to_owned(), text(library())),
            ("SEGUE_FAULTS_KNOBS".to_owned(), text(&self.file(side))),
        ]
    }

    pub(crate) fn turn(&self, side: Side, knob: Knob, to: i64) {
        let file = fs::OpenOptions::new().write(true).open(self.file(side)).expect("it is ours");
        file.write_all_at(&to.to_ne_bytes(), knob as u64 * 8).expect("it is ours");
    }
}

/// The library, built once in a process.
fn library() -> &'static Path {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BUILT.get_or_init(|| build().map_err(|it| it.to_string())) {
        Ok(path) => path,
        Err(why) => panic_any(Missing(format!("no C compiler for the shim: {why}"))),
    }
}

fn build() -> io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
    fs::create_dir_all(&folder)?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
    let (library, new) =
        (folder.join("shim.so"), folder.join(format!("{}.so", std::process::id())));
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .args([&new, &source])
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    // Another process may have it mapped: replaced whole, never written over.
    fs::rename(new, &library)?;
    Ok(library)
}
