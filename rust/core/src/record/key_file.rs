//! A fleet's key in a file: one line of 64 hexadecimal digits, as `caddy cached-http keygen` and `openssl rand -hex 32` write
//! them.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::xaes::KEY_LENGTH;

/// Why a file can't be used as a key. Quotes nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It can't be read.
    #[error("can't read the encryption key {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not a file, or others could have read it or put it there.
    #[error("the encryption key {}: {reason}", path.display())]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: &'static str,
    },
    /// It holds something else.
    #[error(
        "the encryption key {} is not a line of 64 hexadecimal digits; caddy cached-http keygen FILE makes one",
        path.display()
    )]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// There is none.
    #[error("no encryption key: keys never lie in clear on a storage")]
    Missing,
}

/// The digits, and the end of the line as any editor leaves it.
const MAX_FILE_LENGTH: usize = 2 * KEY_LENGTH + 2;

/// Reads a key. A symbolic link is followed: where secrets are mounted they are links. A file of root's may be readable
/// to its group, as PostgreSQL has it: so are secrets handed to a service that is not root, by systemd (whose ACL shows
/// as the group's rights), by Kubernetes, or by hand.
pub(super) fn read(path: &Path) -> Result<Zeroizing<[u8; KEY_LENGTH]>, KeyFileError> {
    let error = |source| KeyFileError::Read { path: path.to_owned(), source };
    // A pipe would be waited for.
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(error)?;
    let found = file.metadata().map_err(error)?;
    let own_user = rustix::process::geteuid().as_raw();
    let reason = if !found.is_file() {
        Some("it is not a file")
    } else if found.uid() != own_user && found.uid() != 0 && own_user != 0 {
        Some("it belongs to another user: give it to the one that Caddy runs as")
    } else if found.mode() & if found.uid() == 0 { 0o037 } else { 0o077 } != 0 {
        Some("others may read or write it: chmod 600, or 640 if it is root's")
    } else {
        None
    };
    if let Some(reason) = reason {
        return Err(KeyFileError::NotPrivate { path: path.to_owned(), reason });
    }
    let mut text = Zeroizing::new([0; MAX_FILE_LENGTH + 1]);
    let mut length = 0;
    while length < text.len() {
        match file.read(&mut text[length..]).map_err(error)? {
            0 => break,
            more => length += more,
        }
    }
    parse(&text[..length]).ok_or_else(|| KeyFileError::NotAKey { path: path.to_owned() })
}

fn parse(text: &[u8]) -> Option<Zeroizing<[u8; KEY_LENGTH]>> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let digits = text.strip_suffix(b"\r").unwrap_or(text);
    if digits.len() != 2 * KEY_LENGTH {
        return None;
    }
    let mut key = Zeroizing::new([0; KEY_LENGTH]);
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn reads_a_line_of_digits_and_nothing_else() {
        let digits = "0123456789abcdefABCDEF9876543210".repeat(2);
        for end in ["", "\n", "\r\n"] {
            let key = parse(format!("{digits}{end}").as_bytes()).unwrap();
            assert_eq!(key[..4], [0x01, 0x23, 0x45, 0x67]);
        }
        for wrong in
            ["", "\n", &digits[1..], &format!("{digits}0"), &format!("{digits}\n\n"), &"g".repeat(64)]
        {
            assert!(parse(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.key");
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        };
        write(&"ab".repeat(32), 0o600);
        assert_eq!(*read(&path).unwrap(), [0xab; 32]);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(read(&link).is_ok());
        let own_user = rustix::process::geteuid().as_raw();
        for (owner, mode, is_private) in [
            (0, 0o440, true), // a credential of systemd
            (0, 0o640, true),
            (0, 0o660, false),
            (0, 0o604, false),
            (65_534, 0o600, true),
            (65_534, 0o640, false),
        ] {
            if own_user != 0 && owner == 0 {
                continue; // only root can give a file to root
            }
            write(&"ab".repeat(32), mode);
            if own_user == 0 {
                std::os::unix::fs::chown(&path, Some(owner), None).unwrap();
            }
            let found = read(&path);
            assert_eq!(found.is_ok(), is_private, "{owner} {mode:o}: {found:?}");
            assert!(matches!(found, Ok(_) | Err(KeyFileError::NotPrivate { .. })), "{owner} {mode:o}");
        }
        fs::remove_file(&path).unwrap();
        write(&"ab".repeat(3_200), 0o600);
        assert!(matches!(read(&path), Err(KeyFileError::NotAKey { .. })));
        assert!(matches!(read(folder.path()), Err(KeyFileError::NotPrivate { .. })));
        assert!(matches!(read(&folder.path().join("none")), Err(KeyFileError::Read { .. })));
    }
}
