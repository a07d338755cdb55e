//! How a C call becomes a `Result`: the version check before the first one, statuses, panics of callbacks, handles,
//! texts and arrays.
use crate::callback;
use crate::error::{Error, Result, Status};
use moe_sys as sys;
use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

/// A call that succeeds or fails.
pub(crate) fn call(c: impl FnOnce() -> sys::moe_status) -> Result<()> {
    match advance(c)? {
        true => Ok(()),
        false => Err(Error::new(Status::Internal, "expected MOE_OK, got MOE_END of a call that is no sequence")),
    }
}

/// A call of a sequence: false at its end.
pub(crate) fn advance(c: impl FnOnce() -> sys::moe_status) -> Result<bool> {
    require_library()?;
    let status = c();
    if let Some(payload) = callback::take_panic() {
        return Err(Error::panicked(payload));
    }
    match status {
        sys::MOE_OK => Ok(true),
        sys::MOE_END => Ok(false),
        code => Err(Error::last(code)),
    }
}

/// A call that gives a handle. `own` takes the handle over even if a callback panicked meanwhile, so that it is freed.
pub(crate) fn create<T, H>(
    open: impl FnOnce(*mut *mut T) -> sys::moe_status,
    own: impl FnOnce(NonNull<T>) -> H,
) -> Result<H> {
    let mut raw = ptr::null_mut();
    let result = call(|| open(&mut raw));
    let handle = NonNull::new(raw).map(own);
    result?;
    handle.ok_or_else(|| Error::new(Status::Internal, "expected a handle, got NULL with MOE_OK"))
}

/// A call that fills (`buffer`, `capacity`, `needed`) with text.
pub(crate) fn text(read: impl Fn(*mut c_char, usize, *mut usize) -> sys::moe_status) -> Result<String> {
    let mut buffer = vec![0_u8; 256];
    let mut needed = 0;
    let first = call(|| read(buffer.as_mut_ptr().cast(), buffer.len(), &mut needed));
    match first {
        Err(error) if error.status() == Status::BufferTooSmall => {
            buffer.resize(needed, 0);
            call(|| read(buffer.as_mut_ptr().cast(), buffer.len(), &mut needed))?;
        }
        other => other?,
    }
    let text = CStr::from_bytes_until_nul(&buffer).unwrap_or_default();
    Ok(text.to_string_lossy().into_owned())
}

/// A call that fills an array; `capacity` and `count` in elements. Most answers fit the first try.
pub(crate) fn array<T: Clone + Default>(
    mut read: impl FnMut(*mut T, usize, *mut usize) -> sys::moe_status,
) -> Result<Vec<T>> {
    let mut items = vec![T::default(); 64];
    let mut count = 0;
    let first = call(|| read(items.as_mut_ptr(), items.len(), &mut count));
    match first {
        Err(error) if error.status() == Status::BufferTooSmall => {
            items.resize(count, T::default());
            call(|| read(items.as_mut_ptr(), items.len(), &mut count))?;
        }
        other => other?,
    }
    items.truncate(count);
    Ok(items)
}

/// Text for C; one with a NUL inside has no C form.
pub(crate) fn c_text(text: impl AsRef<[u8]>) -> Result<CString> {
    let bytes = text.as_ref();
    CString::new(bytes).map_err(|error| {
        let shown = String::from_utf8_lossy(bytes).escape_debug().to_string();
        let text = format!("expected a text without NUL, got \"{shown}\" with one at byte {}", error.nul_position());
        Error::new(Status::InvalidArgument, text)
    })
}

pub(crate) fn c_path(path: &Path) -> Result<CString> {
    c_text(path.as_os_str().as_bytes())
}

/// The loaded library must have the binary interface of our declarations, and be no older than they are: structs would
/// be too large for it and functions absent.
fn require_library() -> Result<()> {
    static CHECK: OnceLock<Option<String>> = OnceLock::new();
    match CHECK.get_or_init(mismatch) {
        None => Ok(()),
        Some(text) => Err(Error::new(Status::Version, text.clone())),
    }
}

fn mismatch() -> Option<String> {
    // SAFETY: these functions take nothing; the text they give is static.
    let (abi, version, text) =
        unsafe { (sys::moe_abi_version(), sys::moe_version(), CStr::from_ptr(sys::moe_version_string())) };
    let fits = abi == sys::MOE_ABI && version >= sys::MOE_VERSION;
    let (major, minor, patch) = (sys::MOE_VERSION_MAJOR, sys::MOE_VERSION_MINOR, sys::MOE_VERSION_PATCH);
    (!fits).then(|| {
        format!(
            "libmoe: expected ABI {}, version {major}.{minor}.{patch} or later, got ABI {abi}, version {}",
            sys::MOE_ABI,
            text.to_string_lossy()
        )
    })
}
