//! The proxy's data directory: whole files that are either the old or the new one whatever happens, the proxy's lasting id, and
//! the pepper, which keys the hash of callers' keys and lies in a file of its own that only the owner may read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where one proxy keeps what must outlive it.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

/// The data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the data directory `{path}`; make it writable or name another one with --data")]
pub struct DataDirError {
    path: String,
    #[source]
    source: io::Error,
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Whoever the umask allows.
    Default,
    /// The owner alone.
    Owner,
}

const PROXY_ID: &str = "proxy-id";
const PEPPER: &str = "pepper";
/// More than any pepper or id will ever need.
const SMALL_FILE: u64 = 4096;

impl DataDir {
    /// Makes the directory when it is not there, and makes sure that it can be written to.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let directory = Self { path: path.to_owned() };
        let probe = fs::create_dir_all(path).and_then(|()| directory.write("probe", b"", Readers::Default));
        probe
            .and_then(|()| directory.remove("probe"))
            .map_err(|source| DataDirError { path: path.display().to_string(), source })?;
        Ok(directory)
    }

    /// A path inside.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Replaces a file: after a crash at any moment it is the old one or the new one.
    pub fn write(&self, name: &str, bytes: &[u8], readers: Readers) -> io::Result<()> {
        let temporary = self.path.join(format!("{name}.tmp"));
        // A leftover of a crash could have other readers.
        self.remove(&format!("{name}.tmp"))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        if readers == Readers::Owner {
            options.mode(0o600);
        }
        let mut file = options.open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, self.path.join(name))?;
        self.sync()
    }

    /// Gives a file another name; what had that name is gone.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))?;
        self.sync()
    }

    /// The content of a file, at most `most` bytes of it; `None` when it is not there.
    pub fn read(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(io::Error::other(format!("`{name}` is longer than {most} bytes")));
        }
        Ok(Some(bytes))
    }

    /// A file that is not there counts as removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// The proxy's lasting id: the one asked for, else the one kept, else a fresh one.
    pub fn proxy_id(&self, asked: Option<&str>, unix_ms: u64) -> io::Result<String> {
        let kept = self.read(PROXY_ID, SMALL_FILE)?.and_then(|bytes| String::from_utf8(bytes).ok());
        let kept = kept.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
        let id = match (asked, kept.clone()) {
            (Some(asked), _) => asked.to_owned(),
            (None, Some(kept)) => kept,
            (None, None) => format!("proxy-{}", fresh_id(unix_ms)),
        };
        if kept.as_deref() != Some(id.as_str()) {
            self.write(PROXY_ID, format!("{id}\n").as_bytes(), Readers::Default)?;
        }
        Ok(id)
    }

    /// The pepper of the last Welcome.
    pub fn pepper(&self) -> io::Result<Option<Vec<u8>>> {
        let Some(text) = self.read(PEPPER, SMALL_FILE)? else { return Ok(None) };
        hex::decode(text.trim_ascii()).map(Some).map_err(io::Error::other)
    }

    /// Keeps the pepper.
    pub fn keep_pepper(&self, pepper: &[u8]) -> io::Result<()> {
        self.write(PEPPER, hex::encode(pepper).as_bytes(), Readers::Owner)
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// A version 7 UUID: unique, sorted by time.
pub fn fresh_id(unix_ms: u64) -> String {
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid().hyphenated().to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_proxy_keeps_its_id_unless_it_is_given_another() {
        let temporary = TempDir::new().unwrap();
        let directory = DataDir::open(temporary.path()).unwrap();
        let first = directory.proxy_id(None, 1).unwrap();
        assert_eq!(directory.proxy_id(None, 2).unwrap(), first);
        assert_eq!(directory.proxy_id(Some("edge-1"), 3).unwrap(), "edge-1");
        assert_eq!(directory.proxy_id(None, 4).unwrap(), "edge-1");
    }

    #[test]
    fn the_pepper_lies_in_a_file_that_only_its_owner_may_read() {
        let temporary = TempDir::new().unwrap();
        let directory = DataDir::open(temporary.path()).unwrap();
        assert_eq!(directory.pepper().unwrap(), None);
        directory.keep_pepper(b"\x00\xffpepper").unwrap();
        assert_eq!(directory.pepper().unwrap().unwrap(), b"\x00\xffpepper");
        let mode = fs::metadata(directory.join(PEPPER)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_unusable_directory_is_named_with_the_way_out() {
        let temporary = TempDir::new().unwrap();
        let file = temporary.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = DataDir::open(&file.join("data")).unwrap_err().to_string();
        assert!(error.contains("file/data") && error.contains("--data"), "{error}");
    }

    #[test]
    fn a_file_over_its_bound_is_an_error_and_not_a_flood() {
        let temporary = TempDir::new().unwrap();
        let directory = DataDir::open(temporary.path()).unwrap();
        directory.write("big", &[0; 100], Readers::Default).unwrap();
        assert!(directory.read("big", 99).is_err());
        assert_eq!(directory.read("big", 100).unwrap().unwrap().len(), 100);
    }
}
