//! A program with its own arrays and its own loop: pictures with coloured boxes, made here. Every step takes a window of
//! two micro-batches; then the model finds the boxes of pictures it has not seen, and the experts tell what they did.
//!
//!     cargo run --release --example feed_arrays [STEPS]
use moe::{Batch, Config, Session, Window};
use ndarray::{Array1, Array2, Array4, s};

const SETTINGS: &str = "
task: rtdetr
data: {classes: [red, green, blue], size: [96, 96]}
model:
  backbone: {width: 0.25}
  hidden: 32
  encoder: {ffn: 64}
  decoder: {layers: 2, ffn: 64}
  denoising: {queries: 20}
  experts: {kind: class_partitioned, groups: by_class, top_k: 2, queries: 20}
optimizer: {lr: 2e-3}
";
const COLOURS: [&str; 3] = ["red", "green", "blue"];
const PICTURES: usize = 4;
const BOXES: usize = 2; // in each picture
const SIDE: usize = 96; // pixels
const WINDOW: usize = 2; // micro-batches in a step

/// One micro-batch. The boxes of picture i are rows offsets[i] to offsets[i + 1] - 1.
struct Scene {
    images: Array4<f32>,  // [PICTURES, 3, SIDE, SIDE] in 0..1
    boxes: Array2<f32>,   // [N, 4] cx, cy, w, h in shares of the side
    labels: Array1<i64>,  // [N]
    offsets: Array1<i64>, // [PICTURES + 1]
}

fn main() -> moe::Result<()> {
    let steps = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(150);
    let mut session = Session::new(&Config::parse(SETTINGS)?)?;
    let mut random = Random(1);
    for _ in 0..steps {
        for _ in 0..WINDOW {
            session.feed(&Scene::new(&mut random).into_batch()?)?;
        }
        let info = session.step()?; // all or nothing
        println!(
            "step {}  loss {:.3}  gradient {:.3}  {:.0} ms",
            info.step,
            info.loss,
            info.grad_norm,
            1e3 * info.seconds
        );
    }
    show_best(&session, Scene::new(&mut random))?;
    print_experts(&session)
}

impl Scene {
    fn new(random: &mut Random) -> Self {
        let images = Array4::from_shape_simple_fn((PICTURES, 3, SIDE, SIDE), || 0.4 + 0.001 * random.below(200) as f32);
        let (boxes, labels) = (Array2::zeros((PICTURES * BOXES, 4)), Array1::zeros(PICTURES * BOXES));
        let offsets = Array1::from_iter((0..=PICTURES).map(|picture| (picture * BOXES) as i64));
        let mut scene = Self { images, boxes, labels, offsets };
        for row in 0..PICTURES * BOXES {
            scene.add_box(row, random);
        }
        scene
    }

    fn add_box(&mut self, row: usize, random: &mut Random) {
        let (label, w, h) = (random.below(3), 16 + random.below(24), 16 + random.below(24));
        let (left, top) = (random.below(SIDE - w), random.below(SIDE - h));
        let mut area = self.images.slice_mut(s![row / BOXES, .., top..top + h, left..left + w]);
        area.fill(0.1);
        area.slice_mut(s![label, .., ..]).fill(0.9);
        self.labels[row] = label as i64;
        let centre_and_size = [left as f32 + w as f32 / 2.0, top as f32 + h as f32 / 2.0, w as f32, h as f32];
        self.boxes.row_mut(row).assign(&Array1::from(centre_and_size.map(|x| x / SIDE as f32).to_vec()));
    }

    /// The images move into the batch without a copy.
    fn into_batch(self) -> moe::Result<Batch> {
        let mut batch = Batch::new()?;
        batch.bind("images", self.images)?.set("boxes", &self.boxes)?;
        batch.set("labels", &self.labels)?.set("offsets", &self.offsets)?;
        Ok(batch)
    }
}

/// Prints the best detection of every picture beside its true boxes.
fn show_best(session: &Session, scene: Scene) -> moe::Result<()> {
    let truth = scene.labels.clone();
    let result = session.predict(&scene.into_batch()?)?;
    let (boxes, scores) = (result.read::<f32>("boxes")?, result.read::<f32>("scores")?);
    let (labels, offsets) = (result.read::<i64>("labels")?, result.read::<i64>("offsets")?);
    for picture in 0..PICTURES {
        let best = offsets[picture] as usize; // best first
        let colour = |label: i64| COLOURS[label as usize];
        let [one, two] = [truth[BOXES * picture], truth[BOXES * picture + 1]].map(colour);
        println!(
            "picture {picture}: true {one} and {two}; found {} with score {:.2} at x {:.0}..{:.0}, y {:.0}..{:.0}",
            colour(labels[best]),
            scores[best],
            boxes[[best, 0]],
            boxes[[best, 2]],
            boxes[[best, 1]],
            boxes[[best, 3]]
        );
    }
    Ok(())
}

fn print_experts(session: &Session) -> moe::Result<()> {
    for (index, layer) in session.layers()?.iter().enumerate() {
        let total = session.layer_stats(index, Window::Lifetime)?;
        println!("{}: {} {}s, {} assignments", layer.name, total.tokens, layer.unit, total.assignments);
        for (name, stat) in layer.experts.iter().zip(session.expert_stats(index, Window::Lifetime)?) {
            let bar = "#".repeat((40.0 * stat.share).round() as usize);
            println!("  {name:8} {:6} {:5.1}%  gate {:.2}  {bar}", stat.tokens, 100.0 * stat.share, stat.gate_mean);
        }
    }
    Ok(())
}

/// Marsaglia's xorshift.
struct Random(u32);

impl Random {
    /// 0 to n - 1.
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % n
    }
}
