//! A disk that is full at will: a small file system in memory under PostgreSQL's directory. Only
//! root may mount one.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

/// Room for a cluster, and for little more.
const SIZE: &str = "size=256m,mode=0755";
const BALLAST: &str = "ballast";

pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Puts a directory's content on a small disk in the same place; `None` where that isn't
    /// allowed.
    pub fn under(directory: &Path) -> Option<Self> {
        let kept = directory.with_extension("kept");
        run(Command::new("cp").arg("-a").arg(directory).arg(&kept)).then_some(())?;
        let mounted = run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "tmpfs"])
            .arg(directory));
        let disk = mounted.then(|| Self(directory.to_path_buf()));
        if disk.is_some() {
            let content = kept.join(".");
            let copied = run(Command::new("cp").arg("-a").arg(content).arg(directory));
            assert!(copied, "the cluster fits");
        }
        fs::remove_dir_all(kept).expect("removed");
        disk
    }

    /// Leaves no room.
    pub fn fill(&self) {
        let mut ballast = File::create(self.0.join(BALLAST)).expect("a file");
        // The last piece is written in part.
        while ballast.write(&[0; 4_096]).is_ok() {}
    }

    /// Makes room.
    pub fn free(&self) {
        fs::remove_file(self.0.join(BALLAST)).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever is still in there may leave in peace.
        run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
