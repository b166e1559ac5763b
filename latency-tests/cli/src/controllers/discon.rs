//! A controller in a shared library, called by a small C program: foreign code is nobody's guest.

use std::path::{Path, PathBuf};

use latency_tests_harness::figures::Times;
use latency_tests_harness::rounds::Contender;
use sim_world::bladed;

use super::BATCH;
use super::recording::Recording;
use crate::peer_program;

const CLIENT: &str = include_str!("../../peers/discon_client.c");
/// The library may print lines of its own; the figures follow this one.
const FIGURES: &str = "\nfigures\n";

/// The library, ready to be called.
struct Ready {
    command: Vec<String>,
    /// Holds the program and what it reads, and takes what the library writes.
    folder: tempfile::TempDir,
}

/// A library, or why it is not there.
pub(super) struct Discon(Result<Ready, String>);

impl Discon {
    pub(super) fn new(files: Option<(&Path, &Path)>, recording: &Recording) -> Self {
        Self(match files {
            Some(files) => ready(files, recording),
            None => Err("give one with --discon and --discon-config".to_owned()),
        })
    }
}

fn ready((library, infile): (&Path, &Path), recording: &Recording) -> Result<Ready, String> {
    let absolute = |path: &Path| -> Result<PathBuf, String> {
        std::fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let (library, infile) = (absolute(library)?, absolute(infile)?);
    let missing = |why: String| format!("{why}; it needs cc");
    let (program, folder) = peer_program::compiled(CLIENT, &peer_program::words("-ldl")).map_err(missing)?;
    let (frames, outname) = (folder.path().join("frames"), folder.path().join("log"));
    std::fs::write(&frames, recording.frames()).map_err(|error| error.to_string())?;
    let mut command: Vec<String> =
        [program, library, infile, outname, frames].iter().map(|path| path.display().to_string()).collect();
    command.extend([bladed::RECORDS, BATCH].map(|number| number.to_string()));
    Ok(Ready { command, folder })
}

impl Contender for Discon {
    fn name(&self) -> &str {
        "discon"
    }

    fn turn(&mut self) -> Result<Times, String> {
        let ready = self.0.as_ref().map_err(Clone::clone)?;
        let printed = peer_program::output(&ready.command, Some(ready.folder.path()))?;
        let (_, figures) = printed.rsplit_once(FIGURES).ok_or("it ended without figures")?;
        Ok(peer_program::parse(figures)?.0)
    }
}
