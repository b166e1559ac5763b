//! A folder, as far as the store needs one.

use std::io;

/// A folder of small files. Each operation is one step of the file system, so that a test can end the world
/// between any two.
pub trait Folder {
    /// The whole content of a file; `None` if it is not there.
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn read(&self, file: &str) -> io::Result<Option<Vec<u8>>>;

    /// Creates or empties a file and writes it. Not durable yet.
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn write(&mut self, file: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes a file's content durable.
    ///
    /// # Errors
    /// Whatever the disk answers: then nothing is known of its content.
    fn sync_file(&mut self, file: &str) -> io::Result<()>;

    /// Gives a file another name; a file that had it is gone. Durable after [`Folder::sync`].
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; one that is not there is no error. Durable after [`Folder::sync`].
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn remove(&mut self, file: &str) -> io::Result<()>;

    /// Makes names durable.
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn sync(&mut self) -> io::Result<()>;

    /// Replaces a file as a whole: a crash leaves either the old one or the new one.
    ///
    /// # Errors
    /// Whatever the disk answers; then the old file still stands.
    fn replace(&mut self, file: &str, bytes: &[u8]) -> io::Result<()> {
        let beside = format!("{file}.new");
        self.write(&beside, bytes)?;
        self.sync_file(&beside)?;
        self.rename(&beside, file)?;
        self.sync()
    }
}
