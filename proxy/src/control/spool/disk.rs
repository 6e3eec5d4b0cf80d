//! Where segments lie: the port of the spool, and the directory behind it. It must not know what is in a segment.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A place for named, append-only files.
pub trait Disk: Send + fmt::Debug {
    /// The names of all segments, in any order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// At most `most` bytes from `offset` on.
    fn read(&self, name: &str, offset: u64, most: u64) -> io::Result<Vec<u8>>;
    /// Appends all of `bytes` or nothing; makes the file when it is not there.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Returns when the file has reached the disk.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// A file that is not there counts as removed.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

/// Segments as files of one directory. Keeps the last written file open.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    name: String,
    file: File,
    length: u64,
}

impl Directory {
    /// Makes the directory, with its parents, when it is not there.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self { path: path.to_owned(), open: None })
    }

    fn file_for(&mut self, name: &str) -> io::Result<&mut Open> {
        if self.open.as_ref().is_none_or(|open| open.name != name) {
            let file = OpenOptions::new().create(true).append(true).open(self.path.join(name))?;
            let length = file.metadata()?.len();
            self.open = None;
            return Ok(self.open.insert(Open { name: name.to_owned(), file, length }));
        }
        self.open.as_mut().ok_or_else(|| io::Error::other("no open segment"))
    }
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str().filter(|name| name.ends_with(".seg")) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn read(&self, name: &str, offset: u64, most: u64) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.path.join(name))?;
        let left = file.metadata()?.len().saturating_sub(offset).min(most);
        file.seek(SeekFrom::Start(offset))?;
        // One byte more than there is: so the end is found without growing.
        let mut bytes = Vec::with_capacity(usize::try_from(left).unwrap_or(0) + 1);
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let open = self.file_for(name)?;
        match open.file.write_all(bytes) {
            Ok(()) => {
                open.length += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Part of it may have been written; whoever appends next must not find it in the way.
                let length = open.length;
                let cut = open.file.set_len(length);
                self.open = None;
                cut.and(Err(error))
            }
        }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file_for(name)?.file.sync_data()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open = self.open.take().filter(|open| open.name != name);
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}
