//! System accounts: whom a child process runs as, and whether that account can reach a path.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A user of the operating system, as the kernel needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) user_id: u32,
    pub(super) group_id: u32,
}

impl Account {
    /// The account that a server which refuses to run as root is given up to, or `None` when we
    /// are not root and simply stay who we are. `postgres` if the system has it, else `nobody`.
    pub(super) fn to_drop_to() -> Option<Self> {
        if !running_as_root() {
            return None;
        }
        // Accounts that only a directory service knows are of no use here: these two are local on
        // every distribution.
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Some(
            find_account(&accounts, "postgres")
                .or_else(|| find_account(&accounts, "nobody"))
                .unwrap_or_else(|| Self {
                    name: "nobody".to_owned(),
                    user_id: 65_534,
                    group_id: 65_534,
                }),
        )
    }

    /// The first directory on the way to `path`, itself included, that this account may not pass
    /// through. Access lists beyond the mode bits are not looked at.
    pub(super) fn first_closed_directory(&self, path: &Path) -> Option<PathBuf> {
        let mut ancestors: Vec<&Path> = path.ancestors().collect();
        ancestors.reverse();
        ancestors
            .into_iter()
            .find(|directory| fs::metadata(directory).is_ok_and(|found| !self.may_pass(&found)))
            .map(Path::to_path_buf)
    }

    fn may_pass(&self, directory: &fs::Metadata) -> bool {
        let execute_bit = if directory.uid() == self.user_id {
            0o100
        } else if directory.gid() == self.group_id {
            0o010
        } else {
            0o001
        };
        directory.mode() & execute_bit != 0
    }
}

/// Whether this process is root.
pub(super) fn running_as_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn find_account(accounts: &str, name: &str) -> Option<Account> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let user_id = fields.nth(1)?.parse().ok()?;
        let group_id = fields.next()?.parse().ok()?;
        Some(Account {
            name: name.to_owned(),
            user_id,
            group_id,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ACCOUNTS: &str = "root:x:0:0:root:/root:/bin/bash\n\
                            postgres-backup:x:7:7::/:/bin/false\n\
                            postgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn finds_an_account_by_its_whole_name() {
        let account = find_account(ACCOUNTS, "postgres").expect("it is listed");
        assert_eq!((account.user_id, account.group_id), (101, 104));
        assert_eq!(find_account(ACCOUNTS, "nobody"), None);
    }

    #[test]
    fn names_the_directory_that_is_closed() {
        let root = tempfile::tempdir().expect("temporary directory");
        let closed = root.path().join("closed");
        let inner = closed.join("inner");
        fs::create_dir_all(&inner).expect("create");
        let stranger = Account {
            name: "stranger".to_owned(),
            user_id: 4_000_000,
            group_id: 4_000_000,
        };
        let set_mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set mode");
        };
        set_mode(root.path(), 0o711);
        set_mode(&inner, 0o711);
        set_mode(&closed, 0o700);
        assert_eq!(
            stranger.first_closed_directory(&inner),
            Some(closed.clone())
        );
        set_mode(&closed, 0o711);
        assert_eq!(stranger.first_closed_directory(&inner), None);
    }
}
