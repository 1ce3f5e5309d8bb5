//! One small text beside the entries of a backend, which outlives them and the process.

use std::path::PathBuf;
use std::time::SystemTime;

use super::{DiskError, DiskStore, directory, directory_of, file, temporary};

impl DiskStore {
    /// Reads the note; `None` if there is none.
    pub fn load_note(&self) -> Result<Option<Vec<u8>>, DiskError> {
        let path = self.note_path();
        if !self.has_root()? || !directory::is_private(directory_of(&path))? {
            return Ok(None);
        }
        Ok(file::read(&path)?.map(|text| text.to_vec()))
    }

    /// Writes the note over what was there. After a return it outlives a power cut.
    pub fn save_note(&self, text: &[u8]) -> Result<(), DiskError> {
        let path = self.note_path();
        let _writing = self.writing.lock();
        self.make_root()?;
        for directory in [self.temporary.as_path(), directory_of(&path)] {
            directory::ensure(directory)?;
        }
        let file = temporary::write(&self.temporary, text, SystemTime::now())?;
        file.persist(&path).map_err(|failure| DiskError::io("write", &path)(failure.error))?;
        directory::sync(directory_of(&path)).map_err(DiskError::io("sync", directory_of(&path)))
    }

    /// Not among the entries: they are removed as a whole.
    fn note_path(&self) -> PathBuf {
        let backend = self.entries.file_name().unwrap_or_default();
        self.root.join("notes").join(backend).with_extension("txt")
    }
}
