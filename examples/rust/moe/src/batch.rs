//! One micro-batch: named tensors, in and out as `ndarray` arrays.
use crate::call::{advance, c_text, call, create};
use crate::dlpack::{self, SharedTensor};
use crate::element::{Dtype, Element, Number, reads_as};
use crate::error::{Error, Result, Status, from_chars};
use moe_sys as sys;
use ndarray::{Array, ArrayBase, ArrayD, Data, DataMut, Dimension, IxDyn};
use std::ptr::{self, NonNull};

/// Named tensors. Ragged targets are flat with offsets: `boxes [N, 4]`, `labels [N]`, `offsets [B + 1]`;
/// [`Session::describe_batch`](crate::Session::describe_batch) tells what a task wants.
#[derive(Debug)]
pub struct Batch(NonNull<sys::moe_batch>);

// SAFETY: a handle may be used by any thread, one at a time.
unsafe impl Send for Batch {}

/// What is known of a tensor without its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the batch.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// Its sizes.
    pub shape: Vec<usize>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Result<Self> {
        // SAFETY: `out` receives a handle that Batch owns.
        create(|out| unsafe { sys::moe_batch_create(out) }, Self)
    }

    /// Copies an array into the batch, in place of one of that name. Slices, transposed and broadcast views are fine;
    /// an axis that runs backwards is an error.
    pub fn set<S, D>(&mut self, name: &str, array: &ArrayBase<S, D>) -> Result<&mut Self>
    where
        S: Data,
        S::Elem: Element,
        D: Dimension,
    {
        self.set_view::<S::Elem>(name, array.as_ptr(), array.shape(), &dlpack::strides(array))
    }

    /// Copies a dense row-major array of this shape, given as a slice.
    pub fn set_slice<T: Element>(&mut self, name: &str, shape: &[usize], values: &[T]) -> Result<&mut Self> {
        let needed = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        if needed != Some(values.len()) {
            let text = format!("{name}: expected as many values as shape {shape:?} holds, got {}", values.len());
            return Err(Error::new(Status::Shape, text));
        }
        self.set_view::<T>(name, values.as_ptr(), shape, &[])
    }

    /// `strides`: empty means dense.
    fn set_view<T: Element>(
        &mut self,
        name: &str,
        data: *const T,
        shape: &[usize],
        strides: &[i64],
    ) -> Result<&mut Self> {
        let name = c_text(name)?;
        let shape: Vec<i64> = shape.iter().map(|size| *size as i64).collect();
        let view = sys::moe_tensor_view {
            dtype: T::DTYPE.code(),
            ndim: shape.len() as i32,
            data: data.cast(),
            shape: shape.as_ptr(),
            strides: if strides.is_empty() { ptr::null() } else { strides.as_ptr() },
            ..sys::moe_tensor_view::sized()
        };
        // SAFETY: the view describes memory that is borrowed during the call.
        call(|| unsafe { sys::moe_batch_set(self.0.as_ptr(), name.as_ptr(), &view) })?;
        Ok(self)
    }

    /// Moves an array into the batch without copying it. The library drops it when the last use is gone.
    pub fn bind<T: Element, D: Dimension + 'static>(&mut self, name: &str, array: Array<T, D>) -> Result<&mut Self> {
        let name = c_text(name)?;
        let tensor = dlpack::lend(array);
        let mut taken = false;
        let result = call(|| {
            taken = true;
            // SAFETY: the library owns the tensor from here on, also when it returns an error.
            unsafe { sys::moe_batch_bind_dlpack(self.0.as_ptr(), name.as_ptr(), tensor) }
        });
        if !taken {
            // SAFETY: the library never saw it.
            unsafe { dlpack::release(tensor) };
        }
        result.map(|()| self)
    }

    /// A copy of a tensor as an array.
    pub fn read<T: Number>(&self, name: &str) -> Result<ArrayD<T>> {
        let info = self.info_for::<T>(name)?;
        let count = info.shape.iter().product();
        let mut values = Vec::<T>::with_capacity(count);
        // SAFETY: there is room for `count` elements, and the call writes all of them or fails.
        unsafe {
            self.read_raw(name, values.as_mut_ptr(), count)?;
            values.set_len(count);
        }
        ArrayD::from_shape_vec(IxDyn(&info.shape), values)
            .map_err(|error| Error::new(Status::Internal, error.to_string()))
    }

    /// Copies a tensor into an array of the same shape. The array must be contiguous and row-major.
    pub fn read_into<S, D>(&self, name: &str, array: &mut ArrayBase<S, D>) -> Result<()>
    where
        S: DataMut,
        S::Elem: Number,
        D: Dimension,
    {
        let info = self.info_for::<S::Elem>(name)?;
        if info.shape != array.shape() {
            let text = format!("{name}: expected an array of shape {:?}, got {:?}", info.shape, array.shape());
            return Err(Error::new(Status::Shape, text));
        }
        let Some(values) = array.as_slice_mut() else {
            let text = format!("{name}: expected a contiguous row-major array, got strides {:?}", array.strides());
            return Err(Error::new(Status::Shape, text));
        };
        // SAFETY: the slice has room for its own length, and every bit pattern of a Number is a value.
        unsafe { self.read_raw(name, values.as_mut_ptr(), values.len()) }
    }

    /// # Safety
    /// `values` has room for `count` elements.
    unsafe fn read_raw<T: Number>(&self, name: &str, values: *mut T, count: usize) -> Result<()> {
        let name = c_text(name)?;
        let bytes = count * size_of::<T>();
        // SAFETY: the handle is alive and the capacity is the caller's.
        call(|| unsafe { sys::moe_batch_read(self.raw(), name.as_ptr(), values.cast(), bytes, ptr::null_mut()) })
    }

    /// A tensor as a view of the library's own memory, without a copy. It outlives the batch.
    pub fn share<T: Number>(&self, name: &str) -> Result<SharedTensor<T>> {
        self.info_for::<T>(name)?;
        let c_name = c_text(name)?;
        // SAFETY: the handle is alive; `out` receives a tensor that SharedTensor owns.
        create(
            |out| unsafe { sys::moe_batch_export_dlpack(self.raw(), c_name.as_ptr(), out) },
            |raw| {
                // SAFETY: the tensor came from the library and holds elements that read as T.
                unsafe { SharedTensor::own(raw) }
            },
        )
    }

    /// Type and shape of a tensor.
    pub fn info(&self, name: &str) -> Result<TensorInfo> {
        let name = c_text(name)?;
        let mut info = sys::moe_tensor_info::sized();
        // SAFETY: the handle is alive; `info` is a struct of the size that it says.
        call(|| unsafe { sys::moe_batch_info(self.raw(), name.as_ptr(), &mut info) })?;
        tensor_info(&info)
    }

    /// Type and shape of every tensor, in the order of their setting.
    pub fn tensors(&self) -> Result<Vec<TensorInfo>> {
        let mut count = 0;
        // SAFETY: the handle is alive.
        call(|| unsafe { sys::moe_batch_count(self.raw(), &mut count) })?;
        let at = |index| {
            let mut info = sys::moe_tensor_info::sized();
            // SAFETY: the handle is alive; `info` is a struct of the size that it says.
            call(|| unsafe { sys::moe_batch_info_at(self.raw(), index, &mut info) })?;
            tensor_info(&info)
        };
        (0..count).map(at).collect()
    }

    /// Removes every tensor.
    pub fn clear(&mut self) -> Result<()> {
        // SAFETY: the handle is alive.
        call(|| unsafe { sys::moe_batch_clear(self.0.as_ptr()) })
    }

    /// The tensor's info, if it can be read as `T`.
    fn info_for<T: Number>(&self, name: &str) -> Result<TensorInfo> {
        let info = self.info(name)?;
        if reads_as::<T>(info.dtype) {
            return Ok(info);
        }
        Err(Error::new(Status::Dtype, format!("{name}: expected to be read as {}, got {}", info.dtype, T::DTYPE)))
    }

    /// Fills the batch by a call of a sequence; false at its end.
    pub(crate) fn fill(&mut self, next: impl FnOnce(*mut sys::moe_batch) -> sys::moe_status) -> Result<bool> {
        advance(|| next(self.0.as_ptr()))
    }

    pub(crate) fn raw(&self) -> *const sys::moe_batch {
        self.0.as_ptr()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and not used after this.
        unsafe { sys::moe_batch_free(self.0.as_ptr()) }
    }
}

fn tensor_info(info: &sys::moe_tensor_info) -> Result<TensorInfo> {
    let name = from_chars(&info.name);
    let dtype = Dtype::from_code(info.dtype).ok_or_else(|| {
        Error::new(Status::Unsupported, format!("{name}: expected a known element type, got {:#06x}", info.dtype))
    })?;
    let shape = info.shape.iter().take(info.ndim as usize).map(|size| *size as usize).collect();
    Ok(TensorInfo { name, dtype, shape })
}
