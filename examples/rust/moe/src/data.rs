//! Data sets as a whole: generated, checked, and files of detections evaluated.
use crate::call::{array, c_path, c_text, call};
use crate::callback::{Level, Log};
use crate::config::Config;
use crate::error::Result;
use crate::session::{Metric, metric};
use moe_sys as sys;
use std::path::Path;
use std::ptr;

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

/// What [`check_data`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataReport {
    /// Looked at, of both splits.
    pub pictures: i64,
    /// In them, ignored regions included.
    pub objects: i64,
    /// 0: a training can use all of it.
    pub problems: i64,
    /// Pictures in the list.
    pub excluded: i64,
}

/// Looks once through the detection data set that the settings name. `log` receives a line for each problem and what each
/// split holds; `list` is a text file that is written with the pictures to leave out, for the key `data.exclude`.
pub fn check_data(
    config: &Config,
    list: Option<&Path>,
    log: impl FnMut(Level, &str) + Send + 'static,
) -> Result<DataReport> {
    let list = list.map(c_path).transpose()?;
    let list = list.as_ref().map_or(ptr::null(), |list| list.as_ptr());
    let log = Log::new(log);
    let (log_fn, user) = Log::to_c(Some(&log));
    let mut report = sys::moe_data_report::sized();
    // SAFETY: config and log are alive; the list is NULL or text; `report` is a struct of the size that it says.
    call(|| unsafe { sys::moe_data_check(config.raw(), list, log_fn, user, &mut report) })?;
    let sys::moe_data_report { pictures, objects, problems, excluded, .. } = report;
    Ok(DataReport { pictures, objects, problems, excluded })
}

/// Evaluates a file of detections against a file of annotations, both in COCO's JSON: the numbers of pycocotools to the
/// last bit, and more. `log` receives warnings.
pub fn evaluate_coco(
    annotations: impl AsRef<Path>,
    detections: impl AsRef<Path>,
    log: impl FnMut(Level, &str) + Send + 'static,
) -> Result<Vec<Metric>> {
    let (annotations, detections) = (c_path(annotations.as_ref())?, c_path(detections.as_ref())?);
    let log = Log::new(log);
    let (log_fn, user) = Log::to_c(Some(&log));
    let metrics = array(|metrics, capacity, count| {
        let (annotations, detections) = (annotations.as_ptr(), detections.as_ptr());
        // SAFETY: the texts have a NUL, the log is alive, the array is as long as its capacity says.
        unsafe { sys::moe_coco_evaluate(annotations, detections, log_fn, user, metrics, capacity, count) }
    })?;
    Ok(metrics.iter().map(metric).collect())
}
