//! Closures behind `moe_log_fn`. A panic is caught before it reaches C, kept for the thread, and becomes the error of the
//! call that ran the closure.
use moe_sys as sys;
use std::any::Any;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

/// Importance of a line for a log closure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Detail.
    Debug,
    /// News.
    Info,
    /// Something is odd; the work goes on.
    Warning,
    /// Something failed.
    Error,
}

impl Level {
    fn from_code(code: i32) -> Self {
        match code {
            sys::MOE_LOG_DEBUG => Self::Debug,
            sys::MOE_LOG_INFO => Self::Info,
            sys::MOE_LOG_WARNING => Self::Warning,
            _ => Self::Error,
        }
    }
}

type Closure = Box<dyn FnMut(Level, &str) + Send>;

/// A log closure at an address that stays, because C holds it. `None` after it has panicked.
pub(crate) struct Log(NonNull<Option<Closure>>);

// SAFETY: the closure is Send, and Log is its only owner.
unsafe impl Send for Log {}

impl Log {
    pub(crate) fn new(closure: impl FnMut(Level, &str) + Send + 'static) -> Self {
        let closure: Closure = Box::new(closure);
        Self(NonNull::from(Box::leak(Box::new(Some(closure)))))
    }

    /// What C takes as (`log_fn`, `user`). The pointer is valid as long as this Log.
    pub(crate) fn to_c(log: Option<&Self>) -> (sys::moe_log_fn, *mut c_void) {
        match log {
            None => (None, ptr::null_mut()),
            Some(log) => (Some(deliver), log.0.as_ptr().cast()),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // SAFETY: the pointer came from Box::leak, and whoever gave it to C has freed that handle before.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

thread_local! {
    static PANIC: Cell<Option<Box<dyn Any + Send>>> = const { Cell::new(None) };
}

/// The panic of a callback that ran on this thread since the last question.
pub(crate) fn take_panic() -> Option<Box<dyn Any + Send>> {
    PANIC.take()
}

/// Called by C, in the thread of the call that the line is about, and never twice at once for one Log.
unsafe extern "C" fn deliver(level: i32, message: *const c_char, user: *mut c_void) {
    // SAFETY: `user` is the pointer of a living Log, which nobody else looks at during the call.
    let slot = unsafe { &mut *user.cast::<Option<Closure>>() };
    let Some(closure) = slot else { return };
    // SAFETY: C gives text with a NUL that lives during the call.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    // The closure may use other handles: their calls must not take an earlier panic of this call for their own.
    let earlier = PANIC.take();
    let outcome = catch_unwind(AssertUnwindSafe(|| closure(Level::from_code(level), &text)));
    // A closure that panicked may be half way through a change, so it is dropped; its destructor may panic as well.
    if outcome.is_err() {
        let _ = catch_unwind(AssertUnwindSafe(|| *slot = None));
    }
    PANIC.set(earlier.or(outcome.err()));
}
