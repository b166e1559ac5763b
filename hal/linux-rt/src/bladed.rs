//! Controllers of others, in shared libraries with Bladed's interface (`DISCON`, `avrSWAP`).
//!
//! # Problem
//!
//! The turbine controllers of the field are shared libraries. To compare ours with one of them in the same
//! plant it has to be called, and nothing can be proved about foreign code: it may write where it should
//! not, keep its state in global variables (so that a process can hold one instance only), or end the
//! process from within (a Fortran `STOP` or run-time error does).
//!
//! # Model
//!
//! So it runs in a **process of its own** that does nothing else: [`serve`] is that process's main loop. It
//! takes the swap array from its input, calls the library, and gives status, message and swap array
//! back. What the library breaks is its own process, and the other side sees a closed pipe.
//!
//! A *frame* from the caller is [`SWAP_LEN`] numbers; the answer is the status (`i32`), the message
//! ([`MESSAGE_LEN`] bytes, ended by zero) and [`SWAP_LEN`] numbers. All little-endian.
//!
//! # Terms
//!
//! Records of the swap array count from 1 in Bladed's manual and from 0 here: record 48 is index 47.

use std::ffi::{CStr, CString};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use crate::sys;

/// Numbers in a swap array. Bladed defines less than 200; OpenFAST's extension reaches to 3300.
pub const SWAP_LEN: usize = 4096;
/// Bytes of the library's message, with its end.
pub const MESSAGE_LEN: usize = 1024;
/// Bytes of a frame from the caller.
pub const REQUEST_LEN: usize = 4 * SWAP_LEN;
/// Bytes of an answer.
pub const ANSWER_LEN: usize = 4 + MESSAGE_LEN + 4 * SWAP_LEN;

/// Records in which the caller states the lengths of the texts (index, from 0).
const MESSAGE_LENGTH_AT: usize = 48;
const INFILE_LENGTH_AT: usize = 49;
const OUTNAME_LENGTH_AT: usize = 50;

/// Why a library is no controller.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// The loader refuses it, or it has no such entry point.
    #[error("{reason}")]
    Loader {
        /// The loader's words.
        reason: String,
    },
    /// A path or name with a zero byte inside.
    #[error("a name holds a zero byte")]
    Name,
    /// Reading a frame or writing an answer failed.
    #[error("the pipe failed: {0}")]
    Pipe(#[from] io::Error),
}

/// Loads the library and answers frames until the input ends.
///
/// `infile` is the library's own configuration, `outname` the root of the files that it writes. The
/// lengths of texts in the swap array are filled in here. Call it in a process that does nothing else.
///
/// # Errors
/// If the library cannot be loaded, has no `DISCON`, or a pipe fails.
pub fn serve(
    library: &Path,
    infile: &str,
    outname: &str,
    mut input: impl Read,
    mut output: impl Write,
) -> Result<(), LibraryError> {
    let path = CString::new(library.as_os_str().as_encoded_bytes()).map_err(|_| LibraryError::Name)?;
    let infile = CString::new(infile).map_err(|_| LibraryError::Name)?;
    let outname = CString::new(outname).map_err(|_| LibraryError::Name)?;
    let entry = sys::load(&path, c"DISCON").map_err(|reason| LibraryError::Loader { reason })?;
    let mut swap = vec![0.0_f32; SWAP_LEN];
    let mut frame = vec![0_u8; REQUEST_LEN];
    let mut answer = Vec::with_capacity(ANSWER_LEN);
    loop {
        match input.read_exact(&mut frame) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        for (number, bytes) in swap.iter_mut().zip(frame.as_chunks::<4>().0) {
            *number = f32::from_le_bytes(*bytes);
        }
        for (at, length) in [
            (MESSAGE_LENGTH_AT, MESSAGE_LEN - 1),
            (INFILE_LENGTH_AT, infile.count_bytes()),
            (OUTNAME_LENGTH_AT, outname.count_bytes()),
        ] {
            if let Some(number) = swap.get_mut(at) {
                *number = length as f32;
            }
        }
        let mut message = [0_u8; MESSAGE_LEN];
        let status = entry.call(&mut swap, &infile, &outname, &mut message);
        answer.clear();
        answer.extend(status.to_le_bytes());
        answer.extend(message);
        answer.extend(swap.iter().flat_map(|number| number.to_le_bytes()));
        output.write_all(&answer)?;
        output.flush()?;
    }
}

/// A controller that is to be called through Bladed's interface; see
/// [`export_discon!`](crate::export_discon).
pub trait DisconController: Sized {
    /// Begins, with the name of the input file.
    ///
    /// # Errors
    /// What the user is told.
    fn open(infile: &str) -> Result<Self, String>;

    /// One call: takes measurements from the records and puts outputs into them.
    ///
    /// # Errors
    /// What the user is told.
    fn step(&mut self, records: &mut [f32]) -> Result<(), String>;
}

/// Records that every caller of the interface provides, and that a controller may touch.
pub const RECORDS: usize = 129;

/// One call from a simulator: status 0 begins anew, a negative one ends.
///
/// Returns Bladed's status (0, or -1 to abort) and the message. Not for use outside
/// [`export_discon!`](crate::export_discon).
#[doc(hidden)]
pub fn answer<C: DisconController>(
    controller: &mut Option<C>,
    records: &mut [f32],
    infile: &CStr,
) -> (i32, String) {
    let status = records.first().copied().unwrap_or(0.0);
    let result = if status < 0.0 {
        *controller = None;
        return (0, String::new());
    } else if let (Some(controller), true) = (controller.as_mut(), status > 0.0) {
        controller.step(records)
    } else {
        C::open(&infile.to_string_lossy()).and_then(|new| controller.insert(new).step(records))
    };
    match result {
        Ok(()) => (0, String::new()),
        Err(message) => (-1, message),
    }
}

#[doc(hidden)]
pub use crate::sys::{RawCall, enter};

/// Exports the C function `DISCON` for a type that implements
/// [`DisconController`]. Once per shared library, at its root.
#[macro_export]
macro_rules! export_discon {
    ($controller:ty) => {
        /// Bladed's entry point. The simulator keeps the interface's promises about its five pointers.
        #[allow(non_snake_case, reason = "the name that simulators look for")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn DISCON(
            swap: *mut f32,
            fail: *mut i32,
            infile: *const ::core::ffi::c_char,
            _outname: *const ::core::ffi::c_char,
            message: *mut ::core::ffi::c_char,
        ) {
            static CONTROLLER: ::std::sync::Mutex<::core::option::Option<$controller>> =
                ::std::sync::Mutex::new(::core::option::Option::None);
            let call = $crate::bladed::RawCall { swap, fail, infile, message };
            // SAFETY: passed on as they came; `enter` states what they must be.
            unsafe { $crate::bladed::enter(&CONTROLLER, call) }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(library: &str) -> String {
        serve(Path::new(library), "in", "out", io::empty(), io::sink()).unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_is_no_library_is_refused_in_the_loaders_words() {
        assert!(refusal("/proc/self/maps").contains("/proc/self/maps"));
        assert!(refusal("missing.so").contains("missing.so"));
        assert_eq!(refusal("a\0b"), "a name holds a zero byte");
    }

    #[test]
    fn a_library_without_the_entry_point_is_refused_by_the_entry_points_name() {
        assert!(refusal("libc.so.6").contains("DISCON"), "{}", refusal("libc.so.6"));
    }
}
