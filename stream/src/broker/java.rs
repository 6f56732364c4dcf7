//! Finds a Java that is new enough. `find_java` in `scripts/setup.sh` looks in the same places, in
//! the same order.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::BrokerError;

/// The oldest that Apache Kafka 4's broker runs on.
const MAJOR_MIN: u32 = 17;

/// For a server that a test starts: up soon, small, on IPv4's loopback, and without files outside
/// its directory.
const FLAGS: [&str; 6] = [
    // The quick compiler only: the other one pays off after minutes.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xshare:auto",
    "-Xmx384m",
    "-Djava.net.preferIPv4Stack=true",
    "-XX:-UsePerfData",
];

/// What a server in `directory` has on its command line before what is its own.
pub(super) fn flags(directory: &Path) -> Vec<OsString> {
    let mut temporary = OsString::from("-Djava.io.tmpdir=");
    temporary.push(directory);
    FLAGS
        .iter()
        .map(OsString::from)
        .chain([temporary])
        .collect()
}

/// The program `java` of a Java that is new enough.
pub(super) fn find() -> Result<PathBuf, BrokerError> {
    let home = env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let path = env::var_os("PATH").unwrap_or_default();
    let first_on_path = env::split_paths(&path)
        .map(|directory| directory.join("java"))
        .find(|program| program.is_file());
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/jvm")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin/java"))
        .collect();
    installed.sort();
    home.into_iter()
        .chain(first_on_path)
        .chain(installed)
        .find(|program| major(program).is_some_and(|major| major >= MAJOR_MIN))
        .ok_or_else(|| BrokerError::NoJava {
            minimum: MAJOR_MIN,
            searched: "JAVA_HOME, PATH, /usr/lib/jvm".to_owned(),
        })
}

/// The major version that the installation of `program` says it is.
fn major(program: &Path) -> Option<u32> {
    let program = program.canonicalize().ok()?;
    let release = program.parent()?.parent()?.join("release");
    major_in(&fs::read_to_string(release).ok()?)
}

fn major_in(release: &str) -> Option<u32> {
    let version = release
        .lines()
        .find_map(|line| line.strip_prefix("JAVA_VERSION=\""))?;
    version.split(['.', '"', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_the_release_file() {
        assert_eq!(
            major_in("IMPLEMENTOR=\"Debian\"\nJAVA_VERSION=\"17.0.15\"\n"),
            Some(17)
        );
        assert_eq!(major_in("JAVA_VERSION=\"25\"\n"), Some(25));
        assert_eq!(major_in("JAVA_VERSION=\"1.8.0_412\"\n"), Some(1));
        assert_eq!(major_in("OS_NAME=\"Linux\"\n"), None);
    }
}
