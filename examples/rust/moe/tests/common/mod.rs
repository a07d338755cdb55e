//! What the tests share: a folder of their own, a tiny detector, a batch of made-up arrays, a generated data set.
#![allow(dead_code)] // not every test file uses everything

use moe::{Batch, Config, Error, GenerateOptions, Session, Status};
use ndarray::{Array1, Array2, Array4, s};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Three experts (vehicles, people, two-wheelers) over the six classes of roadside scenes, with few weights.
const TINY: &str = "
task: rtdetr
seed: 7
data: {size: [64, 64], workers: 1, augment: {flip: 0}}
model:
  backbone: {width: 0.125}
  hidden: 32
  heads: 4
  encoder: {ffn: 64}
  decoder: {layers: 2, ffn: 64}
  denoising: {queries: 8}
  experts: {kind: class_partitioned, groups: by_complexity, top_k: 2, queries: 12}
optimizer: {lr: 3e-3}
train: {batch_size: 2, epochs: 2, log_every: 1, clip_norm: 1}
";

pub fn tiny_config() -> Config {
    Config::parse(TINY).unwrap()
}

pub fn tiny_session() -> Session {
    Session::new(&tiny_config()).unwrap()
}

/// Settings over a generated data set of 6 + 3 pictures, which all tests of a program share.
pub fn data_config() -> Config {
    static FOLDER: OnceLock<Folder> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = Folder::new();
        GenerateOptions::new().images(6, 3).size(160, 96).write("traffic", folder.path().join("scenes")).unwrap();
        folder
    });
    let mut config = tiny_config();
    config.set("data.root", folder.path().join("scenes").display()).unwrap();
    config
}

/// Two pictures with three rectangles: a car, a person and a bicycle.
pub struct Arrays {
    pub images: Array4<f32>,  // [2, 3, 64, 64]
    pub boxes: Array2<f32>,   // [3, 4] cxcywh in shares of the side
    pub labels: Array1<i64>,  // [3]
    pub offsets: Array1<i64>, // [3]
}

pub fn arrays() -> Arrays {
    let mut images = Array4::from_elem((2, 3, 64, 64), 0.2);
    images.slice_mut(s![0, 0, 16..40, 8..40]).fill(1.0);
    images.slice_mut(s![0, 1, 40..60, 40..60]).fill(1.0);
    images.slice_mut(s![1, 2, 8..24, 20..44]).fill(1.0);
    let boxes = vec![[0.375, 0.4375, 0.5, 0.375], [0.78125, 0.78125, 0.3125, 0.3125], [0.5, 0.25, 0.375, 0.25]];
    Arrays { images, boxes: boxes.into(), labels: vec![0, 3, 4].into(), offsets: vec![0, 2, 3].into() }
}

pub fn tiny_batch() -> Batch {
    let arrays = arrays();
    let mut batch = Batch::new().unwrap();
    batch.set("images", &arrays.images).unwrap().set("boxes", &arrays.boxes).unwrap();
    batch.set("labels", &arrays.labels).unwrap().set("offsets", &arrays.offsets).unwrap();
    batch
}

/// The error must have this status, and a text of one line with this part.
#[track_caller]
pub fn expect_error<T>(result: Result<T, Error>, status: Status, part: &str) {
    let Err(error) = result else { panic!("expected {status:?} with {part:?}, got success") };
    let text = error.text();
    let good = error.status() == status && text.contains(part) && !text.is_empty() && !text.contains('\n');
    assert!(good, "expected {status:?} with {part:?}, got {error:?}");
}

/// A fresh folder in the build tree, removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("moe-rust-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path); // of a process that had this number and did not end well
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
