//! What the way through this crate costs: calls that do next to nothing, a batch of 4 x 3 x 640 x 640 f32 against a copy
//! of the same bytes, and the expert counts of 12 layers x 16 experts. `bench/abi.cpp` measures the same from C.
//!
//!     cargo bench
//!
//! Prints the smallest and the median time of 25 rounds.
use moe::{Batch, Config, Session, Window};
use ndarray::{Array1, Array2, Array4};
use std::hint::black_box;
use std::time::Instant;

const SETTINGS: &str = "
task: rtdetr
model:
  backbone: {width: 0.125}
  hidden: 32
  heads: 4
  queries: 20
  encoder: {ffn: 32}
  decoder: {layers: 12, ffn: 64}
  denoising: {queries: 0}
  experts: {kind: ffn, count: 16, top_k: 2}
";
const LAYERS: usize = 12;
const ROUNDS: usize = 25;

fn main() -> moe::Result<()> {
    let mut session = trained_session()?;
    let empty = Batch::new()?;
    measure("Batch::tensors of an empty batch", 100_000, || drop(black_box(empty.tensors().unwrap())));
    measure("Session::discard", 100_000, || session.discard().unwrap());
    measure("expert_stats, 12 layers x 16 experts", 2_000, || {
        for layer in 0..LAYERS {
            black_box(session.expert_stats(layer, Window::Lifetime).unwrap());
        }
    });
    let mut batch = targets()?;
    let images = Array4::from_elem((4, 3, 640, 640), 0.5_f32);
    let mut copy = images.clone();
    measure("copy of 4 x 3 x 640 x 640 f32", 4, || {
        black_box(&mut copy).as_slice_mut().unwrap().copy_from_slice(black_box(&images).as_slice().unwrap());
    });
    measure("Batch::set", 4, || {
        batch.set("images", black_box(&images)).unwrap();
    });
    measure("Session::feed and discard", 4, || {
        session.feed(&batch).unwrap();
        session.discard().unwrap();
    });
    measure("Batch::bind of a small array", 10_000, || {
        batch.bind("offsets", Array1::from_iter(0..5_i64)).unwrap();
    });
    measure("Batch::share and view", 10_000, || {
        black_box(batch.share::<f32>("images").unwrap().view().as_ptr());
    });
    Ok(())
}

/// Four pictures with one box each, without the pictures.
fn targets() -> moe::Result<Batch> {
    let mut batch = Batch::new()?;
    batch.set("boxes", &Array2::from_elem((4, 4), 0.5_f32))?;
    batch.set("labels", &Array1::from_iter(0..4_i64))?.set("offsets", &Array1::from_iter(0..5_i64))?;
    Ok(batch)
}

/// After one step over small pictures, so that every layer has counted something.
fn trained_session() -> moe::Result<Session> {
    let mut session = Session::new(&Config::parse(SETTINGS)?)?;
    let mut batch = targets()?;
    batch.set("images", &Array4::from_elem((4, 3, 64, 64), 0.5_f32))?;
    session.feed(&batch)?;
    session.step()?;
    Ok(session)
}

/// Time of one call in microseconds.
fn measure(name: &str, calls: usize, mut call: impl FnMut()) {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..calls).for_each(|_| call());
            start.elapsed().as_secs_f64() * 1e6 / calls as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{name:40} {:12.3} {:12.3} us", times[0], times[ROUNDS / 2]);
}
