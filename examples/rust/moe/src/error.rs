//! What went wrong: a status to decide by and one line of text to show.
use moe_sys as sys;
use std::any::Any;
use std::ffi::CStr;
use std::fmt;
use std::sync::Mutex;

/// The result of every call that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Kind of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// A text with a NUL inside, a negative count, an unknown name or constant.
    InvalidArgument,
    /// An allocation failed; nothing was changed.
    OutOfMemory,
    /// A file, key or name does not exist.
    NotFound,
    /// Reading or writing failed: permission, full disk, short file.
    Io,
    /// Text is not well formed YAML or JSON.
    Parse,
    /// A setting is unknown, of the wrong type, out of range or contradicts another.
    Config,
    /// A tensor has the wrong number of dimensions, sizes or strides.
    Shape,
    /// A tensor has the wrong element type.
    Dtype,
    /// The device does not exist or is not supported by this build.
    Device,
    /// Not possible now: step without feed, a run folder that is in use.
    State,
    /// A file, DLPack tensor or library of a version that does not fit.
    Version,
    /// Known, but this task cannot do it.
    Unsupported,
    /// Stopped by a [`Stopper`](crate::Stopper) before the work was done; nothing was changed.
    Cancelled,
    /// A buffer cannot hold the result.
    BufferTooSmall,
    /// A loss, gradient or input is not finite.
    Numeric,
    /// A data set, image, label or checkpoint holds something wrong.
    Data,
    /// A defect of the library: please report the text.
    Internal,
    /// A log closure panicked; see [`Error::into_panic`].
    CallbackPanic,
    /// A status that this crate does not know.
    Other(i32),
}

const STATUSES: [(i32, Status); 17] = [
    (sys::MOE_ERR_INVALID_ARGUMENT, Status::InvalidArgument),
    (sys::MOE_ERR_OUT_OF_MEMORY, Status::OutOfMemory),
    (sys::MOE_ERR_NOT_FOUND, Status::NotFound),
    (sys::MOE_ERR_IO, Status::Io),
    (sys::MOE_ERR_PARSE, Status::Parse),
    (sys::MOE_ERR_CONFIG, Status::Config),
    (sys::MOE_ERR_SHAPE, Status::Shape),
    (sys::MOE_ERR_DTYPE, Status::Dtype),
    (sys::MOE_ERR_DEVICE, Status::Device),
    (sys::MOE_ERR_STATE, Status::State),
    (sys::MOE_ERR_VERSION, Status::Version),
    (sys::MOE_ERR_UNSUPPORTED, Status::Unsupported),
    (sys::MOE_ERR_CANCELLED, Status::Cancelled),
    (sys::MOE_ERR_BUFFER_TOO_SMALL, Status::BufferTooSmall),
    (sys::MOE_ERR_NUMERIC, Status::Numeric),
    (sys::MOE_ERR_DATA, Status::Data),
    (sys::MOE_ERR_INTERNAL, Status::Internal),
];

impl Status {
    pub(crate) fn from_code(code: i32) -> Self {
        STATUSES.iter().find(|(known, _)| *known == code).map_or(Self::Other(code), |(_, status)| *status)
    }
}

/// Why a call failed. It prints as one line: where, what was expected, what came.
pub struct Error {
    status: Status,
    text: String,
    place: Option<(u32, u32)>,
    panic: Option<Mutex<Box<dyn Any + Send>>>, // the mutex makes Error Sync
}

impl Error {
    pub(crate) fn new(status: Status, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), place: None, panic: None }
    }

    /// The library's last error on this thread, which has just come back with `code`.
    pub(crate) fn last(code: i32) -> Self {
        let mut info = sys::moe_error_info::sized();
        // SAFETY: `info` is a struct of the size that it says.
        unsafe { sys::moe_last_error(&mut info) };
        let place = u32::try_from(info.line).ok().filter(|line| *line > 0);
        Self {
            status: Status::from_code(code),
            text: from_chars(&info.text),
            place: place.map(|line| (line, u32::try_from(info.column).unwrap_or(0))),
            panic: None,
        }
    }

    pub(crate) fn panicked(payload: Box<dyn Any + Send>) -> Self {
        let message = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
        let text = format!("the log closure panicked: {}", message.unwrap_or("(no text)").replace('\n', " "));
        Self { status: Status::CallbackPanic, text, place: None, panic: Some(Mutex::new(payload)) }
    }

    /// The kind of the error.
    pub fn status(&self) -> Status {
        self.status
    }

    /// One line: where, what was expected, what came.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column in the settings file, both from 1, where the error has a place there.
    pub fn place(&self) -> Option<(u32, u32)> {
        self.place
    }

    /// The payload of the panic in a log closure ([`Status::CallbackPanic`]), for [`std::panic::resume_unwind`].
    pub fn into_panic(self) -> Option<Box<dyn Any + Send>> {
        self.panic.map(|payload| payload.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// As [`Display`](fmt::Display) after the status, so that `fn main() -> moe::Result<()>` ends with a readable line.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.status, self.text)
    }
}

impl std::error::Error for Error {}

/// Text of a fixed array with a NUL inside.
pub(crate) fn from_chars(chars: &[std::ffi::c_char]) -> String {
    // SAFETY: c_char and u8 have the same size, and every byte is a valid u8.
    let bytes = unsafe { std::slice::from_raw_parts(chars.as_ptr().cast::<u8>(), chars.len()) };
    CStr::from_bytes_until_nul(bytes).map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned())
}
