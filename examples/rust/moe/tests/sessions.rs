//! Sessions: training, statistics of experts, checkpoints, evaluation, threads and stop requests.
mod common;

use common::{Folder, data_config, expect_error, tiny_batch, tiny_config, tiny_session};
use moe::{Config, Dump, Loader, Session, Split, Status, Window};

fn train(session: &mut Session, steps: usize) -> f64 {
    let batch = tiny_batch();
    let mut loss = f64::NAN;
    for _ in 0..steps {
        session.feed(&batch).unwrap();
        loss = session.step().unwrap().loss;
    }
    loss
}

#[test]
fn the_loss_falls_and_its_terms_add_up() {
    let mut session = tiny_session();
    let first = train(&mut session, 1);
    assert!(train(&mut session, 14) < 0.8 * first);
    session.feed(&tiny_batch()).unwrap();
    session.feed(&tiny_batch()).unwrap();
    let info = session.step().unwrap();
    assert_eq!((info.step, info.micro_batches, info.samples, info.skipped), (16, 2, 4, false));
    let sum: f64 = info.losses.iter().map(|(_, value)| value).sum();
    assert!((sum - info.loss).abs() < 1e-6 * info.loss, "{sum} {}", info.loss);
    assert!(info.grad_norm > 0.0 && info.lr > 0.0 && info.seconds > 0.0);
}

#[test]
fn experts_tell_what_they_did() {
    let mut session = tiny_session();
    train(&mut session, 3);
    let layers = session.layers().unwrap();
    assert_eq!(layers.len(), 1);
    assert_eq!(layers[0].experts.len(), 3);
    let stats = session.expert_stats(0, Window::Lifetime).unwrap();
    let total = session.layer_stats(0, Window::Lifetime).unwrap();
    assert_eq!(total.tokens, 6); // two images a step
    assert_eq!(stats.iter().map(|expert| expert.tokens).sum::<i64>(), total.assignments);
    assert!((stats.iter().map(|expert| expert.share).sum::<f64>() - 1.0).abs() < 1e-12);
    let together = session.coactivation(0, Window::Lifetime).unwrap();
    assert_eq!(together.dim(), (3, 3));
    assert_eq!(together, together.t());
    assert_eq!(together.diag().to_vec(), stats.iter().map(|expert| expert.tokens).collect::<Vec<_>>());
    if layers[0].classes > 0 {
        assert_eq!(session.class_routing(0, Window::Lifetime).unwrap().dim(), (layers[0].classes, 3));
    }
    session.reset_stats().unwrap();
    assert_eq!(session.layer_stats(0, Window::SinceReset).unwrap().tokens, 0);
    expect_error(session.expert_stats(1, Window::LastStep), Status::InvalidArgument, "layer");
    expect_error(session.expert_stats(usize::MAX, Window::LastStep), Status::InvalidArgument, "layer");
}

#[test]
fn a_checkpoint_brings_the_same_bits_back() {
    let folder = Folder::new();
    let path = folder.path().join("a.safetensors");
    let mut session = tiny_session();
    train(&mut session, 2);
    session.save(&path).unwrap();
    let digest = session.get("state.digest").unwrap();
    train(&mut session, 1);
    assert_ne!(session.get("state.digest").unwrap(), digest);
    session.load(&path).unwrap();
    assert_eq!(session.get("state.digest").unwrap(), digest);
    assert_eq!(Session::open(&path).unwrap().get("state.digest").unwrap(), digest);
    expect_error(session.load(folder.path().join("absent")), Status::NotFound, "absent");
    expect_error(Session::open(folder.path().join("absent")), Status::NotFound, "absent");
}

#[test]
fn weights_are_exported() {
    let folder = Folder::new();
    let session = tiny_session();
    session.export("own", folder.path().join("weights.safetensors")).unwrap();
    assert!(folder.path().join("weights.safetensors").exists());
    expect_error(session.export("absent", folder.path().join("a")), Status::InvalidArgument, "format");
    expect_error(session.export("transformers", folder.path().join("a")), Status::Unsupported, "");
}

#[test]
fn a_data_set_is_checked() {
    let report = moe::check_data(&data_config(), None, |_, _| ()).unwrap();
    assert_eq!((report.pictures, report.problems, report.excluded), (9, 0, 0));
    assert!(report.objects > 0);
    let mut config = tiny_config();
    config.set("data.root", "absent").unwrap();
    expect_error(moe::check_data(&config, None, |_, _| ()), Status::NotFound, "absent");
}

#[test]
fn detections_are_evaluated() {
    let folder = Folder::new();
    let (annotations, detections) = (folder.path().join("a.json"), folder.path().join("d.json"));
    let truth = r#"{"images": [{"id": 1, "width": 100, "height": 100}], "categories": [{"id": 1, "name": "car"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 50, 50], "area": 2500, "iscrowd": 0}]}"#;
    std::fs::write(&annotations, truth).unwrap();
    let found = r#"[{"image_id": 1, "category_id": 1, "bbox": [10, 10, 50, 50], "score": 0.9}]"#;
    std::fs::write(&detections, found).unwrap();
    let metrics = moe::evaluate_coco(&annotations, &detections, |_, _| ()).unwrap();
    assert_eq!(metrics[0].name, "AP");
    assert!((metrics[0].value - 1.0).abs() < 1e-12);
    expect_error(moe::evaluate_coco("absent.json", &detections, |_, _| ()), Status::NotFound, "absent.json");
}

#[test]
fn settings_are_checked_copied_and_printed() {
    let mut config = tiny_config();
    expect_error(config.set("train.epoch", 3), Status::Config, "train.epochs");
    config.set("train.epochs", 3).unwrap().set("optimizer.lr", 1e-4).unwrap();
    let copy = config.try_clone().unwrap();
    assert_eq!(copy.get("train.epochs").unwrap(), "3");
    assert_eq!(copy.origin("train.epochs").unwrap(), "override");
    let again = Config::parse(&copy.dump(Dump::Values).unwrap()).unwrap();
    assert_eq!(again.get("optimizer.lr").unwrap(), copy.get("optimizer.lr").unwrap());
    assert!(copy.dump(Dump::Origins).unwrap().len() > 1000);
    let error = Config::parse("task: rtdetr\noptimizer: {lr: fast}").unwrap_err();
    assert_eq!((error.status(), error.place()), (Status::Config, Some((2, 17))));
    expect_error(Config::load("absent.yml"), Status::NotFound, "absent.yml");
    expect_error(Config::load("a\0b"), Status::InvalidArgument, "without NUL");
    assert!(moe::describe(Some("rtdetr")).unwrap().contains("model.experts.top_k"));
    expect_error(moe::describe(Some("absent")), Status::NotFound, "absent");
}

#[test]
fn evaluation_and_prediction() {
    let mut session = tiny_session();
    let mut loader = Loader::open(&data_config(), Split::Val).unwrap();
    assert_eq!(session.evaluate(&mut loader).unwrap()[0].name, "AP");
    let batch = loader.epoch().next().unwrap().unwrap();
    let result = session.predict(&batch).unwrap();
    let boxes = result.read::<f32>("boxes").unwrap();
    let offsets = result.read::<i64>("offsets").unwrap();
    assert_eq!(boxes.shape()[0] as i64, offsets[offsets.len() - 1]);
    let folder = Folder::new();
    let picture = folder.path().join("a.png");
    session.draw(&batch, &result, 0, 0.3, &picture).unwrap();
    assert!(picture.exists());
    expect_error(session.draw(&batch, &result, 99, 0.3, &picture), Status::InvalidArgument, "index");
}

#[test]
fn a_loader_goes_through_its_epochs() {
    let mut loader = Loader::open(&data_config(), Split::Train).unwrap();
    assert_eq!(loader.size().unwrap(), (6, 3));
    for _ in 0..2 {
        let mut epoch = loader.epoch();
        assert_eq!(epoch.by_ref().map(|batch| batch.unwrap().info("images").unwrap().shape[0]).sum::<usize>(), 6);
        assert!(epoch.next().is_none()); // does not begin the next epoch
    }
    assert_eq!(loader.broken().unwrap(), 0);
    expect_error(loader.file_name(-1), Status::NotFound, "image_id");
    expect_error(Loader::files(&data_config(), &[] as &[&str]), Status::InvalidArgument, "count");
}

#[test]
fn a_session_moves_to_another_thread_and_two_train_at_once() {
    let digest = |mut session: Session| {
        std::thread::spawn(move || {
            train(&mut session, 2);
            session.get("state.digest").unwrap()
        })
    };
    let (one, two) = (digest(tiny_session()), digest(tiny_session()));
    assert_eq!(one.join().unwrap(), two.join().unwrap());
}

#[test]
fn a_stop_request_cancels_the_step_and_changes_nothing() {
    let mut session = tiny_session();
    train(&mut session, 1);
    let digest = session.get("state.digest").unwrap();
    session.feed(&tiny_batch()).unwrap();
    let stopper = session.stopper();
    assert!(std::thread::spawn(move || stopper.stop()).join().unwrap());
    expect_error(session.step(), Status::Cancelled, "");
    assert_eq!(session.get("state.digest").unwrap(), digest);
    train(&mut session, 1);
    let stopper = session.stopper();
    drop(session);
    assert!(!stopper.stop());
}

#[test]
fn the_library_tells_about_itself() {
    assert_eq!(moe::version(), "0.1.0");
    assert!(moe::build_info().unwrap().contains("\"torch\""));
    expect_error(moe::set_threads(0), Status::InvalidArgument, "threads");
    let session = tiny_session();
    assert!(session.describe_batch().unwrap().contains("images"));
    assert_eq!(session.config().unwrap().get("data.size").unwrap(), tiny_config().get("data.size").unwrap());
    expect_error(session.get("absent"), Status::NotFound, "absent");
}
