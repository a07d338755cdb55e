//! Tensors without copies, by DLPack 1.x: an array lent to the library, and the library's memory as an array view.
use crate::element::{Element, Number};
use moe_sys as sys;
use ndarray::{Array, ArrayBase, ArrayViewD, Dimension, IxDyn, RawData, ShapeBuilder};
use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

/// `DLManagedTensorVersioned` of DLPack's specification.
#[repr(C)]
struct ManagedTensor {
    major: u32,
    minor: u32,
    manager_ctx: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut ManagedTensor)>,
    flags: u64,
    tensor: Tensor,
}

/// `DLTensor`, with its `DLDevice` and `DLDataType` in line.
#[repr(C)]
struct Tensor {
    data: *mut c_void,
    device_type: i32,
    device_id: i32,
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *mut i64,
    strides: *mut i64, // in elements; NULL: dense
    byte_offset: u64,
}

const READ_ONLY: u64 = 1;

/// Keeps a lent array and what its tensor points at. The allocations stay where they are when this moves.
struct Loan {
    tensor: ManagedTensor,
    layout: Vec<i64>, // sizes, then strides
    _array: Box<dyn std::any::Any + Send>,
}

/// Strides in elements. That of an axis with one element is never used: ndarray may hold any number there.
pub(crate) fn strides<S: RawData, D: Dimension>(array: &ArrayBase<S, D>) -> Vec<i64> {
    let axes = array.shape().iter().zip(array.strides());
    axes.map(|(size, stride)| if *size > 1 { *stride as i64 } else { 0 }).collect()
}

/// A DLPack tensor that owns the array. Whoever receives it calls its deleter once.
pub(crate) fn lend<T: Element, D: Dimension + 'static>(mut array: Array<T, D>) -> *mut sys::DLManagedTensorVersioned {
    let sizes = array.shape().iter().map(|size| *size as i64);
    let layout: Vec<i64> = sizes.chain(strides(&array)).collect();
    let tensor = Tensor {
        data: array.as_mut_ptr().cast(),
        device_type: sys::MOE_DEVICE_CPU,
        device_id: 0,
        ndim: array.ndim() as i32,
        code: T::DTYPE.code() as u8, // the low byte; the next one is bits per element
        bits: (T::DTYPE.code() >> 8) as u8,
        lanes: 1,
        shape: ptr::null_mut(),
        strides: ptr::null_mut(),
        byte_offset: 0,
    };
    let managed = ManagedTensor {
        major: 1,
        minor: 0,
        manager_ctx: ptr::null_mut(),
        deleter: Some(end_loan),
        flags: READ_ONLY,
        tensor,
    };
    let loan = Box::into_raw(Box::new(Loan { tensor: managed, layout, _array: Box::new(array) }));
    // SAFETY: `loan` was just made, and `layout` holds ndim sizes and ndim strides.
    unsafe {
        let ndim = (*loan).tensor.tensor.ndim as usize;
        let layout = (*loan).layout.as_mut_ptr();
        (*loan).tensor.manager_ctx = loan.cast();
        (*loan).tensor.tensor.shape = layout;
        (*loan).tensor.tensor.strides = layout.add(ndim);
        (&raw mut (*loan).tensor).cast()
    }
}

unsafe extern "C" fn end_loan(tensor: *mut ManagedTensor) {
    // SAFETY: `manager_ctx` is the Box of lend(), and a deleter is called once.
    drop(unsafe { Box::from_raw((*tensor).manager_ctx.cast::<Loan>()) });
}

/// Calls the deleter.
///
/// # Safety
/// The tensor is valid and not used after this.
pub(crate) unsafe fn release(tensor: *mut sys::DLManagedTensorVersioned) {
    let tensor = tensor.cast::<ManagedTensor>();
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(deleter) = (*tensor).deleter {
            deleter(tensor);
        }
    }
}

/// A tensor in the library's memory, kept alive as long as this; see [`Batch::share`](crate::Batch::share).
pub struct SharedTensor<T> {
    raw: NonNull<ManagedTensor>,
    element: PhantomData<T>,
}

impl<T: Number> SharedTensor<T> {
    /// # Safety
    /// `raw` is a CPU tensor of the library, whose elements read as `T`.
    pub(crate) unsafe fn own(raw: NonNull<sys::DLManagedTensorVersioned>) -> Self {
        Self { raw: raw.cast(), element: PhantomData }
    }

    /// The tensor as an array view.
    pub fn view(&self) -> ArrayViewD<'_, T> {
        // SAFETY: own()'s promise; sizes and strides are ndim long, and nobody writes the memory.
        unsafe {
            let tensor = &self.raw.as_ref().tensor;
            let sizes = elements(tensor.shape, tensor.ndim);
            if sizes.contains(&0) {
                return ArrayViewD::from_shape_ptr(IxDyn(&sizes), NonNull::dangling().as_ptr());
            }
            let data = tensor.data.cast::<u8>().add(tensor.byte_offset as usize).cast::<T>();
            if tensor.strides.is_null() {
                return ArrayViewD::from_shape_ptr(IxDyn(&sizes), data);
            }
            ArrayViewD::from_shape_ptr(IxDyn(&sizes).strides(IxDyn(&elements(tensor.strides, tensor.ndim))), data)
        }
    }
}

impl<T> Drop for SharedTensor<T> {
    fn drop(&mut self) {
        // SAFETY: the tensor is ours and not used after this.
        unsafe { release(self.raw.as_ptr().cast()) }
    }
}

impl<T: Number + fmt::Debug> fmt::Debug for SharedTensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

/// # Safety
/// `values` points at `count` numbers, or `count` is 0.
unsafe fn elements(values: *const i64, count: i32) -> Vec<usize> {
    // SAFETY: the caller's promise.
    (0..count as usize).map(|index| unsafe { *values.add(index) as usize }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lent_array_is_shared_and_not_to_be_written() {
        let array = ndarray::array![1.0_f32, 2.0];
        let values = array.as_ptr();
        let lent = lend(array);
        // SAFETY: `lent` is a tensor of lend(), alive until it is released here.
        unsafe {
            let managed = &*lent.cast::<ManagedTensor>();
            assert_eq!((managed.flags, managed.tensor.data.cast_const().cast()), (READ_ONLY, values));
            release(lent);
        }
    }
}
