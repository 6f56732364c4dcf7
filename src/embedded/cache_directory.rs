//! Where the installers (`make setup`) put what no package manager of the system has.

use std::path::PathBuf;

/// Directories to look in, best first: `HISSABACK_CACHE_DIR`; `.cache` of the checkout that this
/// program was built in; `$XDG_CACHE_HOME/hissaback`, else `~/.cache/hissaback`.
///
/// The working directory plays no part: programs and libraries are loaded from here.
pub(super) fn candidates() -> Vec<PathBuf> {
    let mut candidates = Vec::new();
    if let Some(given) = std::env::var_os("HISSABACK_CACHE_DIR") {
        candidates.push(PathBuf::from(given));
    }
    if let Ok(program) = std::env::current_exe() {
        let checkout = program
            .ancestors()
            .skip(1)
            .find(|directory| directory.join("Cargo.lock").is_file());
        candidates.extend(checkout.map(|directory| directory.join(".cache")));
    }
    let cache_home = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    candidates.extend(cache_home.map(|directory| directory.join("hissaback")));
    candidates
}
