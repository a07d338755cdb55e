//! Element types of tensors.
use moe_sys as sys;
use std::fmt;

/// Element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Dtype {
    I8,
    I16,
    I32,
    I64,
    U8,
    F16,
    F32,
    F64,
    Bf16,
    Bool,
}

const CODES: [(i32, Dtype, &str); 10] = [
    (sys::MOE_I8, Dtype::I8, "i8"),
    (sys::MOE_I16, Dtype::I16, "i16"),
    (sys::MOE_I32, Dtype::I32, "i32"),
    (sys::MOE_I64, Dtype::I64, "i64"),
    (sys::MOE_U8, Dtype::U8, "u8"),
    (sys::MOE_F16, Dtype::F16, "f16"),
    (sys::MOE_F32, Dtype::F32, "f32"),
    (sys::MOE_F64, Dtype::F64, "f64"),
    (sys::MOE_BF16, Dtype::Bf16, "bf16"),
    (sys::MOE_BOOL, Dtype::Bool, "bool"),
];

impl Dtype {
    pub(crate) fn code(self) -> i32 {
        CODES[self as usize].0
    }

    pub(crate) fn from_code(code: i32) -> Option<Self> {
        CODES.iter().find(|(known, ..)| *known == code).map(|(_, dtype, _)| *dtype)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CODES[*self as usize].2)
    }
}

/// IEEE half precision as its 16 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct F16(pub u16);

/// bfloat16 as its 16 bits: the upper half of an `f32`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Bf16(pub u16);

impl From<Bf16> for f32 {
    fn from(value: Bf16) -> Self {
        f32::from_bits(u32::from(value.0) << 16)
    }
}

/// A Rust type that tensors are made of.
///
/// # Safety
/// The type has exactly the memory layout of [`DTYPE`](Self::DTYPE).
pub unsafe trait Element: Copy + Send + 'static {
    /// Its element type.
    const DTYPE: Dtype;
}

/// An [`Element`] of which every bit pattern is a value, so that memory of the library can be read as such. `bool` is
/// none: a tensor of `bool` is read as `u8`, 0 or 1.
///
/// # Safety
/// Every bit pattern of the type is a value.
pub unsafe trait Number: Element {}

macro_rules! elements {
    ($($type:ty => $dtype:ident),* $(,)?) => {$(
        // SAFETY: same size and layout.
        unsafe impl Element for $type { const DTYPE: Dtype = Dtype::$dtype; }
    )*};
}
macro_rules! numbers {
    ($($type:ty),* $(,)?) => {$(
        // SAFETY: integers, floats and their raw bits have no invalid pattern.
        unsafe impl Number for $type {}
    )*};
}

elements!(i8 => I8, i16 => I16, i32 => I32, i64 => I64, u8 => U8, F16 => F16, f32 => F32, f64 => F64, Bf16 => Bf16, bool => Bool);
numbers!(i8, i16, i32, i64, u8, F16, f32, f64, Bf16);

/// True if a tensor of type `stored` can be read as `T`.
pub(crate) fn reads_as<T: Number>(stored: Dtype) -> bool {
    stored == T::DTYPE || (stored == Dtype::Bool && T::DTYPE == Dtype::U8)
}
