//! The files with code that are mapped in a process beside its executable: shared libraries, plugins.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::auxv::Auxv;
use crate::bias::{self, BiasError, LoadBias};
use crate::elf::Shape;
use crate::exe::{ExeFile, id_of};
use crate::maps::Mapping;
use crate::procdir::path_of;
use crate::process::{DELETED, ProcError, Process};

/// The most libraries that are listed. Large programs of C++ have some hundred.
const MAX_LIBRARIES: usize = 4096;

/// A file of which some part is mapped as code, and that is not the executable.
#[derive(Clone, Debug)]
pub struct Library {
    path: PathBuf,
    is_deleted: bool,
    inode: u64,
    device: (u32, u32),
    mappings: Vec<Mapping>,
}

impl Library {
    /// Its path, as the process itself sees it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name: the last part of its path.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// Whether the file was deleted or replaced after it was mapped.
    pub fn is_deleted(&self) -> bool {
        self.is_deleted
    }

    /// Its mappings, by ascending address.
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }
}

impl Process {
    /// The files with code that are mapped now, but for the executable, in the order of their addresses.
    pub fn libraries(&self) -> Result<Vec<Library>, ProcError> {
        let mut libraries: Vec<Library> = Vec::new();
        for mapping in self.maps()?.into_iter().filter(|mapping| mapping.inode != 0 && !self.maps_exe(mapping)) {
            let Some(path) = mapping.path.as_deref().map(|path| path.as_os_str().as_bytes()) else { continue };
            // A device may do anything when it is opened.
            if !path.starts_with(b"/") || path.starts_with(b"/dev/") && !path.starts_with(b"/dev/shm/") {
                continue;
            }
            let bare = path.strip_suffix(DELETED);
            let (path, is_deleted) = (path_of(bare.unwrap_or(path).to_vec()), bare.is_some());
            let same = |known: &Library| known.inode == mapping.inode && known.device == mapping.device;
            let at = libraries.iter().rposition(same);
            let is_full = libraries.len() >= MAX_LIBRARIES;
            match at.and_then(|at| libraries.get_mut(at)) {
                Some(known) => known.mappings.push(mapping),
                None if !is_full => {
                    let (inode, device) = (mapping.inode, mapping.device);
                    libraries.push(Library { path, is_deleted, inode, device, mappings: vec![mapping] });
                }
                None => {}
            }
        }
        libraries.retain(|library| library.mappings.iter().any(|mapping| mapping.executable));
        Ok(libraries)
    }

    /// Opens a library: the file that is mapped, not another one that has got its path since.
    ///
    /// The kernel leads to the mapped file itself (`/proc/PID/map_files`), but only with privilege (CAP_CHECKPOINT_RESTORE);
    /// without, the file at its path must have its inode number.
    pub fn open_library(&self, library: &Library) -> io::Result<ExeFile> {
        let exact = library.mappings.first().and_then(|first| {
            let name = format!("map_files/{:x}-{:x}", first.start, first.end);
            let stat = self.dir().stat(&name).ok()?;
            let is_it =
                FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && id_of(&stat).1 == library.inode;
            is_it.then(|| self.dir().open(&name).ok())?
        });
        let file = match exact {
            Some(file) => file,
            None => self.open_mapped(library)?,
        };
        ExeFile::from_file(file)
    }

    fn open_mapped(&self, library: &Library) -> io::Result<File> {
        let file = self.open_file(&library.path)?;
        let (_, inode) = id_of(&rustix::fs::fstat(&file)?);
        if inode == library.inode {
            return Ok(file);
        }
        Err(io::Error::new(ErrorKind::NotFound, "another file has its path now"))
    }

    /// Where a library was loaded; `file` is what [`Process::open_library`] gave.
    pub fn library_bias(&self, library: &Library, file: &ExeFile) -> Result<LoadBias, BiasError> {
        let shape = Shape::read(file).ok_or(BiasError::NotElf)?;
        bias::find(&shape, Auxv::default(), || library.mappings.clone(), &self.memory())
    }
}
