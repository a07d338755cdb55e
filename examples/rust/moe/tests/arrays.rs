//! Arrays into a batch and out of it, and everything that may be wrong with them.
mod common;

use common::{arrays, expect_error, tiny_batch, tiny_session};
use moe::{Batch, Bf16, Dtype, F16, Status};
use ndarray::{Array, Array1, Array2, Array3, ArrayD, Axis, Ix0, array, s};

#[test]
fn arrays_of_every_type_come_back() {
    fn round_trip<T: moe::Number + PartialEq + std::fmt::Debug>(values: Vec<T>) {
        let mut batch = Batch::new().unwrap();
        let array = Array1::from(values);
        batch.set("x", &array).unwrap();
        assert_eq!(batch.info("x").unwrap().dtype, T::DTYPE);
        assert_eq!(batch.read::<T>("x").unwrap(), array.into_dyn());
    }
    round_trip(vec![-1_i8, 0, 127]);
    round_trip(vec![-1_i16, 0, 30000]);
    round_trip(vec![-1_i32, 0, i32::MAX]);
    round_trip(vec![-1_i64, 0, i64::MAX]);
    round_trip(vec![0_u8, 255]);
    round_trip(vec![F16(0x3c00), F16(0xfbff)]);
    round_trip(vec![Bf16(0x3f80), Bf16(0x0001)]);
    round_trip(vec![0.5_f32, -0.0, f32::MAX]);
    round_trip(vec![0.5_f64, f64::MIN_POSITIVE]);
    assert_eq!(f32::from(Bf16(0x3f80)), 1.0);
}

#[test]
fn bools_are_read_as_bytes() {
    let mut batch = Batch::new().unwrap();
    batch.set("x", &array![true, false]).unwrap();
    assert_eq!(batch.info("x").unwrap().dtype, Dtype::Bool);
    assert_eq!(batch.read::<u8>("x").unwrap(), array![1, 0].into_dyn());
}

#[test]
fn views_with_strides_are_copied_right() {
    let base = Array3::from_shape_fn((4, 5, 6), |(i, j, k)| (100 * i + 10 * j + k) as f32);
    let mut batch = Batch::new().unwrap();
    let slice = base.slice(s![1..3, ..;2, 1..;3]);
    batch.set("slice", &slice).unwrap().set("transposed", &base.t()).unwrap();
    let row = array![1_i64, 2, 3];
    let wide = row.broadcast((2, 3)).unwrap();
    batch.set("broadcast", &wide).unwrap();
    assert_eq!(batch.read::<f32>("slice").unwrap(), slice.to_owned().into_dyn());
    assert_eq!(batch.read::<f32>("transposed").unwrap(), base.t().to_owned().into_dyn());
    assert_eq!(batch.read::<i64>("broadcast").unwrap(), wide.to_owned().into_dyn());
}

#[test]
fn scalars_and_empty_arrays() {
    let mut batch = Batch::new().unwrap();
    batch.set("scalar", &Array::<f64, Ix0>::from_elem((), 2.5)).unwrap();
    batch.set("empty", &Array2::<f32>::zeros((0, 4))).unwrap();
    batch.bind("bound", Array2::<f32>::zeros((0, 4))).unwrap();
    assert_eq!(batch.read::<f64>("scalar").unwrap().shape(), [0_usize; 0]);
    assert_eq!(batch.read::<f32>("empty").unwrap().shape(), [0, 4]);
    assert_eq!(batch.share::<f32>("bound").unwrap().view().shape(), [0, 4]);
}

#[test]
fn a_backward_axis_is_an_error_unless_it_has_one_element() {
    let mut batch = Batch::new().unwrap();
    let mut array = array![1.0_f32, 2.0];
    array.invert_axis(Axis(0));
    expect_error(batch.set("x", &array), Status::Shape, "strides");
    expect_error(batch.bind("x", array), Status::Shape, "strides");
    let mut single = array![3.0_f32];
    single.invert_axis(Axis(0));
    batch.set("x", &single).unwrap();
    assert_eq!(batch.read::<f32>("x").unwrap(), array![3.0].into_dyn());
}

#[test]
fn wrong_shapes_are_errors() {
    let mut batch = Batch::new().unwrap();
    expect_error(batch.set("x", &ArrayD::<f32>::zeros(vec![1; 9])), Status::Shape, "ndim");
    expect_error(batch.set_slice("x", &[2, 3], &[0.0_f32; 5]), Status::Shape, "[2, 3]");
    expect_error(batch.set_slice("x", &[usize::MAX, 2], &[0.0_f32; 2]), Status::Shape, "x");
    batch.set_slice("x", &[2, 3], &[0.0_f32; 6]).unwrap();
    expect_error(batch.read_into("x", &mut Array2::<f32>::zeros((3, 2))), Status::Shape, "[2, 3]");
    expect_error(batch.read_into("x", &mut Array2::<f32>::zeros((3, 2)).reversed_axes()), Status::Shape, "contiguous");
}

#[test]
fn wrong_types_are_errors() {
    let batch = tiny_batch();
    expect_error(batch.read::<f64>("images"), Status::Dtype, "expected to be read as f32, got f64");
    expect_error(batch.share::<i32>("labels"), Status::Dtype, "expected to be read as i64, got i32");
    expect_error(batch.read_into("boxes", &mut Array2::<f64>::zeros((3, 4))), Status::Dtype, "boxes");
}

#[test]
fn wrong_names_are_errors() {
    let mut batch = Batch::new().unwrap();
    expect_error(batch.set("a\0b", &array![1.0_f32]), Status::InvalidArgument, "without NUL");
    expect_error(batch.bind("a\0b", array![1.0_f32]), Status::InvalidArgument, "without NUL");
    expect_error(batch.set("", &array![1.0_f32]), Status::InvalidArgument, "name");
    expect_error(batch.set(&"x".repeat(64), &array![1.0_f32]), Status::InvalidArgument, "63");
    expect_error(batch.read::<f32>("absent"), Status::NotFound, "absent");
    expect_error(batch.info("absent"), Status::NotFound, "absent");
}

#[test]
fn what_a_session_cannot_use_is_refused_by_feed() {
    let mut session = tiny_session();
    let mut batch = tiny_batch();
    batch.set("images", &arrays().images.mapv(f64::from)).unwrap();
    expect_error(session.feed(&batch), Status::Dtype, "images");
    batch.set("images", &arrays().images.index_axis(Axis(0), 0)).unwrap();
    expect_error(session.feed(&batch), Status::Shape, "images");
    batch.set("images", &arrays().images).unwrap().set("labels", &array![0_i64, 99, 0]).unwrap();
    expect_error(session.feed(&batch), Status::Data, "labels");
    expect_error(session.feed(&Batch::new().unwrap()), Status::NotFound, "images");
    expect_error(session.step(), Status::State, "");
}

#[test]
fn a_bound_array_is_shared_and_not_copied() {
    let images = arrays().images;
    let address = images.as_ptr();
    let mut batch = tiny_batch();
    batch.bind("images", images).unwrap();
    let shared = batch.share::<f32>("images").unwrap();
    assert_eq!(shared.view().as_ptr(), address);
    drop(batch); // the array lives as long as somebody uses it
    assert_eq!(shared.view(), arrays().images.into_dyn());
}

#[test]
fn a_bound_view_keeps_its_strides() {
    let base = Array3::from_shape_fn((4, 5, 6), |(i, j, k)| (100 * i + 10 * j + k) as i32);
    let turned = base.clone().reversed_axes(); // column-major
    let mut batch = Batch::new().unwrap();
    batch.bind("x", turned).unwrap();
    assert_eq!(batch.share::<i32>("x").unwrap().view(), base.t().into_dyn());
    assert_eq!(batch.read::<i32>("x").unwrap(), base.t().to_owned().into_dyn());
}

#[test]
fn a_session_keeps_a_bound_array_until_the_step() {
    let mut session = tiny_session();
    let mut batch = tiny_batch();
    batch.bind("images", arrays().images).unwrap();
    session.feed(&batch).unwrap();
    drop(batch);
    assert_eq!(session.step().unwrap().samples, 2);
}

#[test]
fn tensors_are_listed_and_removed() {
    let mut batch = tiny_batch();
    let names: Vec<_> = batch.tensors().unwrap().into_iter().map(|tensor| tensor.name).collect();
    assert_eq!(names, ["images", "boxes", "labels", "offsets"]);
    batch.clear().unwrap();
    assert!(batch.tensors().unwrap().is_empty());
}
