//! Generated data sets.
use crate::call::{c_path, c_text, call};
use crate::callback::{Level, Log};
use crate::error::Result;
use moe_sys as sys;
use std::path::Path;

/// Writes a generated data set; the same options give the same bytes.
///
/// ```no_run
/// moe::GenerateOptions::new().images(40, 10).size(160, 96).write("traffic", "scenes")?;
/// # Ok::<(), moe::Error>(())
/// ```
pub struct GenerateOptions {
    raw: sys::moe_generate_options,
    log: Option<Log>,
}

impl GenerateOptions {
    /// 400 training and 100 validation images of 640 x 384 pixels.
    pub fn new() -> Self {
        let raw = sys::moe_generate_options {
            train_images: 400,
            val_images: 100,
            width: 640,
            height: 384,
            threads: 2,
            ..sys::moe_generate_options::sized()
        };
        Self { raw, log: None }
    }

    /// Images for training (at least 1) and for validation.
    pub fn images(mut self, train: i32, val: i32) -> Self {
        (self.raw.train_images, self.raw.val_images) = (train, val);
        self
    }

    /// Pixels, 64 to 4096 each.
    pub fn size(mut self, width: i32, height: i32) -> Self {
        (self.raw.width, self.raw.height) = (width, height);
        self
    }

    /// Seed of everything that is drawn.
    pub fn seed(mut self, seed: u64) -> Self {
        self.raw.seed = seed;
        self
    }

    /// 1 to 64; the result does not depend on it.
    pub fn threads(mut self, threads: i32) -> Self {
        self.raw.threads = threads;
        self
    }

    /// Receives progress lines.
    pub fn log(mut self, log: impl FnMut(Level, &str) + Send + 'static) -> Self {
        self.log = Some(Log::new(log));
        self
    }

    /// Writes into a folder that is created, or an empty one. kind: "traffic" (roadside scenes in DAIR-V2X-I layout).
    pub fn write(mut self, kind: &str, root: impl AsRef<Path>) -> Result<()> {
        let (kind, root) = (c_text(kind)?, c_path(root.as_ref())?);
        (self.raw.log_fn, self.raw.log_user) = Log::to_c(self.log.as_ref());
        // SAFETY: the texts have a NUL; options and log live during the call.
        call(|| unsafe { sys::moe_data_generate(kind.as_ptr(), root.as_ptr(), &self.raw) })
    }
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self::new()
    }
}
