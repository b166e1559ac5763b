//! Shared libraries by name, and the one entry point that is known here: Bladed's.

use std::ffi::{CStr, CString, c_char, c_int, c_void};

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
