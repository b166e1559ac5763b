//! Shared libraries by name, and the one entry point that is known here: Bladed's.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::bladed::{DisconController, RECORDS, answer};

/// Bladed's interface, user's manual appendix A: the swap array, a status, and three texts. Fortran and
/// C libraries export it alike, all by reference.
type Entry = unsafe extern "C" fn(*mut f32, *mut c_int, *const c_char, *const c_char, *mut c_char);

/// A loaded library that exports Bladed's entry point. Never unloaded: a Fortran run-time system does not
/// survive that.
#[derive(Debug)]
pub(crate) struct EntryPoint(Entry);

/// Loads a library and finds an entry point in it; the loader's own words if that fails.
pub(crate) fn load(path: &CStr, symbol: &CStr) -> Result<EntryPoint, String> {
    // SAFETY: `path` is a terminated string. Loading runs the library's constructors: foreign code, of
    // which the caller was warned (see `bladed`).
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if handle.is_null() {
        return Err(last_complaint());
    }
    // SAFETY: `handle` is a library that was just opened and is never closed; `symbol` is terminated.
    let address: *mut c_void = unsafe { libc::dlsym(handle, symbol.as_ptr()) };
    if address.is_null() {
        return Err(last_complaint());
    }
    // SAFETY: a non-null address of a function; data and function pointers have one size on every Linux.
    // That the function has this signature is what exporting the name under Bladed's interface means.
    Ok(EntryPoint(unsafe { std::mem::transmute::<*mut c_void, Entry>(address) }))
}

/// What the loader says about its last failure.
fn last_complaint() -> String {
    // SAFETY: takes nothing; the answer is null or a terminated string of the loader, valid until this
    // thread's next call of the loader, which is after the copy.
    let text = unsafe {
        let text = libc::dlerror();
        (!text.is_null()).then(|| CStr::from_ptr(text).to_owned())
    };
    text.unwrap_or_else(|| CString::from(c"unknown reason")).to_string_lossy().into_owned()
}

impl EntryPoint {
    /// One call. `message` is where the library writes its complaint, terminated.
    pub(crate) fn call(&self, swap: &mut [f32], infile: &CStr, outname: &CStr, message: &mut [u8]) -> c_int {
        let mut status: c_int = 0;
        // SAFETY: all pointers are valid for the whole call and of the extent that the interface states:
        // the lengths of the texts and of `message` stand in the swap array, which the caller fills in.
        // The library is foreign code and could still write elsewhere; it runs in a process that does
        // nothing else (see `bladed`).
        unsafe {
            (self.0)(
                swap.as_mut_ptr(),
                &raw mut status,
                infile.as_ptr(),
                outname.as_ptr(),
                message.as_mut_ptr().cast(),
            );
        }
        status
    }
}

/// The pointers of one call from a simulator.
#[derive(Debug, Clone, Copy)]
pub struct RawCall {
    /// The swap array.
    pub swap: *mut f32,
    /// Bladed's status.
    pub fail: *mut c_int,
    /// Name of the input file.
    pub infile: *const c_char,
    /// Where a message goes; its length stands in record 49.
    pub message: *mut c_char,
}

/// A simulator calls: finds the controller and answers. A panic becomes a message.
///
/// # Safety
/// `swap` must point to at least [`RECORDS`] numbers and `fail` to one integer, both writable and used by
/// nobody else during the call; `infile` must be a terminated text; `message` must be null or have room for
/// as many bytes as record 49 says. These are the interface's own promises.
pub unsafe fn enter<C: DisconController>(controller: &Mutex<Option<C>>, call: RawCall) {
    // SAFETY: the caller's promise about `swap`.
    let records = unsafe { std::slice::from_raw_parts_mut(call.swap, RECORDS) };
    // SAFETY: the caller's promise about `infile`.
    let infile = unsafe { CStr::from_ptr(call.infile) };
    let room = records.get(48).map_or(0.0, |length| length.max(0.0)) as usize;
    let answered = catch_unwind(AssertUnwindSafe(|| {
        let mut controller = controller.lock().unwrap_or_else(PoisonError::into_inner);
        answer(&mut controller, records, infile)
    }));
    let (status, text) = answered.unwrap_or_else(|_| (-1, "the controller failed".to_owned()));
    // SAFETY: the caller's promise about `fail`.
    unsafe { call.fail.write(status) };
    if call.message.is_null() || room == 0 {
        return;
    }
    // SAFETY: `message` has room for `room` bytes, by the caller's promise.
    let message = unsafe { std::slice::from_raw_parts_mut(call.message.cast::<u8>(), room) };
    let text = text.bytes().filter(|&byte| byte != 0).chain([0]);
    for (byte, letter) in message.iter_mut().zip(text) {
        *byte = letter;
    }
    if let Some(last) = message.last_mut() {
        *last = 0;
    }
}
