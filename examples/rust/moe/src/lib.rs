//! Train mixture-of-experts models from Rust: the safe layer over libmoe.
//!
//! A whole training is a [`Run`] in a folder:
//!
//! ```no_run
//! use moe::{Config, Run};
//!
//! fn main() -> moe::Result<()> {
//!     let mut config = Config::load("configs/rtdetr/synthetic.yml")?;
//!     config.set("train.epochs", 5)?;
//!     let run = Run::open(&config, "runs/first")?; // new, or resumes what is there
//!     for event in run {
//!         println!("{}", event?.text); // step, eval, checkpoint, epoch, done
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A program with its own data and loop fills a [`Batch`] from `ndarray` arrays and feeds it to a [`Session`], whose
//! [`step`](Session::step) is all or nothing and which tells what every expert did.
//!
//! # Errors
//!
//! Everything that can fail returns [`Result`]. An [`Error`] has a [`Status`] to decide by and one line of text. The first
//! call checks that the loaded library fits ([`Status::Version`] otherwise). A handle cannot be used after it was closed,
//! because closing is dropping.
//!
//! # Threads
//!
//! A handle may move to another thread, but two threads cannot use it at once: every handle is `Send` and none is `Sync`.
//! Only a [`Stopper`] goes everywhere, also into a signal handler.
//!
//! ```
//! fn moves<T: Send>() {}
//! moves::<moe::Config>();
//! moves::<moe::Batch>();
//! moves::<moe::Loader>();
//! moves::<moe::Session>();
//! moves::<moe::Run>();
//! fn is_shared<T: Send + Sync>() {}
//! is_shared::<moe::Stopper>();
//! is_shared::<moe::Error>();
//! ```
//!
//! ```compile_fail,E0277
//! fn feed_from_two_threads(session: &moe::Session) {
//!     std::thread::scope(|scope| {
//!         scope.spawn(|| session.get("state.step")); // error: cannot be shared between threads safely
//!     });
//! }
//! ```
//!
//! # Log closures
//!
//! A closure that receives log lines runs in the thread of the call, before the call returns. If it panics, the call does
//! its work to the end and then returns [`Status::CallbackPanic`]; [`Error::into_panic`] gives the payload to resume
//! with. The closure is not called again.

mod batch;
mod call;
mod callback;
mod config;
mod data;
mod dlpack;
mod element;
mod error;
mod experts;
mod loader;
mod run;
mod session;
mod stop;

pub use batch::{Batch, TensorInfo};
pub use callback::Level;
pub use config::{Config, Dump, describe};
pub use data::{DataReport, GenerateOptions, check_data, evaluate_coco};
pub use dlpack::SharedTensor;
pub use element::{Bf16, Dtype, Element, F16, Number};
pub use error::{Error, Result, Status};
pub use experts::{ExpertStat, LayerInfo, LayerStat, Window};
pub use loader::{Epoch, Loader, Split};
pub use run::{Event, EventKind, Run, RunMode, RunOptions, RunSession};
pub use session::{Metric, Session, SessionOptions, StepInfo};
pub use stop::Stopper;

use moe_sys as sys;

/// Version of the loaded library, such as "0.1.0".
pub fn version() -> &'static str {
    // SAFETY: the text is static and ASCII.
    unsafe { std::ffi::CStr::from_ptr(sys::moe_version_string()) }.to_str().unwrap_or("")
}

/// What the library was built with, as a JSON object: version, abi, torch, threads, cuda, tasks and more.
pub fn build_info() -> Result<String> {
    // SAFETY: the buffer is as large as its capacity says.
    call::text(|buffer, capacity, needed| unsafe { sys::moe_build_info(buffer, capacity, needed) })
}

/// Number of threads (1 to 1024) for the library's loops in this process; set it before the first session. The count is
/// part of a run's result: the same count gives the same bits.
pub fn set_threads(threads: i32) -> Result<()> {
    // SAFETY: takes a number alone.
    call::call(|| unsafe { sys::moe_set_threads(threads) })
}
