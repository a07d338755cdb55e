#include "tensors.h"

#include <ATen/ATen.h>
#include <ATen/DLConvertor.h>

#include <array>
#include <vector>

#include "base/error.h"
#include "buffers.h"
#include "tensor/copy_range.h"

namespace moe::capi {

namespace {

struct TypePair {
  moe_dtype dtype;
  at::ScalarType type;
};

constexpr std::array<TypePair, 10> type_pairs = {{{MOE_I8, at::kChar},
                                                  {MOE_I16, at::kShort},
                                                  {MOE_I32, at::kInt},
                                                  {MOE_I64, at::kLong},
                                                  {MOE_U8, at::kByte},
                                                  {MOE_F16, at::kHalf},
                                                  {MOE_F32, at::kFloat},
                                                  {MOE_F64, at::kDouble},
                                                  {MOE_BF16, at::kBFloat16},
                                                  {MOE_BOOL, at::kBool}}};

// Sizes and strides in elements, and how far the memory reaches.
struct Layout {
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;
  int64_t elements = 1;
};

at::ScalarType scalar_type(moe_dtype dtype) {
  for (const TypePair& pair : type_pairs) {
    if (pair.dtype == dtype) return pair.type;
  }
  fail(MOE_ERR_DTYPE, "dtype: expected one of the constants of moe_dtype, MOE_I8 to MOE_BOOL, got ", dtype);
}

moe_dtype dtype_of(at::ScalarType type) {
  for (const TypePair& pair : type_pairs) {
    if (pair.type == type) return pair.dtype;
  }
  fail(MOE_ERR_INTERNAL, "a batch holds a tensor of type ", c10::toString(type), ", which moe_dtype cannot name");
}

void check_device(int32_t type, int32_t index) {
  check(type != MOE_DEVICE_CUDA, MOE_ERR_DEVICE,
        "device_type: expected MOE_DEVICE_CPU, got MOE_DEVICE_CUDA, which this build lacks");
  check(type == MOE_DEVICE_CPU, MOE_ERR_DEVICE, "device_type: expected MOE_DEVICE_CPU (", +MOE_DEVICE_CPU, "), got ",
        type);
  check(index == 0, MOE_ERR_DEVICE, "device_index: expected 0 for the CPU, got ", index);
}

int64_t checked_product(int64_t a, int64_t b, const at::IntArrayRef sizes) {
  int64_t product = 0;
  check(!__builtin_mul_overflow(a, b, &product), MOE_ERR_SHAPE, "shape: expected less than 2^63 bytes, got ",
        shape_text(sizes));
  return product;
}

// Row-major strides; a size of 0 counts as 1, so that no product vanishes unseen.
std::vector<int64_t> dense_strides(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> strides(sizes.size());
  int64_t step = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    strides[i] = step;
    step = checked_product(step, std::max<int64_t>(sizes[i], 1), sizes);
  }
  return strides;
}

// The last byte that the strides reach must have an address.
void check_reach(const Layout& layout, int64_t item_bytes) {
  int64_t last = 0;
  for (size_t i = 0; i < layout.sizes.size(); ++i) {
    const int64_t reach = checked_product(std::max<int64_t>(layout.sizes[i] - 1, 0), layout.strides[i], layout.sizes);
    check(!__builtin_add_overflow(last, reach, &last), MOE_ERR_SHAPE,
          "strides: expected less than 2^63 elements from first to last");
  }
  checked_product(last, item_bytes, layout.sizes);
}

Layout check_layout(int32_t ndim, const int64_t* shape, const int64_t* strides, int64_t item_bytes) {
  check(ndim >= 0 && ndim <= MOE_MAX_DIMS, MOE_ERR_SHAPE, "ndim: expected 0 to ", +MOE_MAX_DIMS, ", got ", ndim);
  check(shape != nullptr || ndim == 0, MOE_ERR_INVALID_ARGUMENT, "shape: expected a pointer to ", ndim,
        " sizes, got NULL");
  Layout layout;
  layout.sizes.assign(shape, shape + ndim);
  for (const int64_t size : layout.sizes) {
    check(size >= 0, MOE_ERR_SHAPE, "shape: expected sizes >= 0, got ", shape_text(layout.sizes));
    layout.elements *= size != 0;
  }
  layout.strides = dense_strides(layout.sizes);
  int64_t product = item_bytes;
  for (const int64_t size : layout.sizes) product = checked_product(product, std::max<int64_t>(size, 1), layout.sizes);
  layout.elements *= product / item_bytes;
  if (!strides) return layout;
  layout.strides.assign(strides, strides + ndim);
  for (const int64_t stride : layout.strides) {
    check(stride >= 0, MOE_ERR_SHAPE, "strides: expected strides >= 0, got ", shape_text(layout.strides));
  }
  check_reach(layout, item_bytes);
  return layout;
}

// First element; nullptr only for an empty tensor.
void* first_element(const void* data, uint64_t byte_offset, const Layout& layout, int64_t item_bytes) {
  if (layout.elements == 0) return nullptr;
  check(data != nullptr, MOE_ERR_INVALID_ARGUMENT, "data: expected a pointer to ", layout.elements,
        " elements, got NULL");
  uintptr_t address = 0;
  check(!__builtin_add_overflow(reinterpret_cast<uintptr_t>(data), byte_offset, &address), MOE_ERR_INVALID_ARGUMENT,
        "byte_offset: expected an offset inside the memory of data, got ", byte_offset);
  check(address % static_cast<uintptr_t>(item_bytes) == 0, MOE_ERR_INVALID_ARGUMENT,
        "data: expected an address divisible by ", item_bytes, ", the size of an element, got a remainder of ",
        address % static_cast<uintptr_t>(item_bytes));
  return reinterpret_cast<void*>(address);
}

moe_dtype dtype_of(const DLDataType& type) {
  check(type.lanes == 1, MOE_ERR_DTYPE, "dtype: expected one lane, got ", type.lanes);
  return type.code | (type.bits << 8);
}

void check_version(const DLPackVersion& version) {
  check(version.major == DLPACK_MAJOR_VERSION, MOE_ERR_VERSION, "tensor: expected DLPack ", DLPACK_MAJOR_VERSION,
        ".x, got ", version.major, ".", version.minor);
}

}  // namespace

CopiedView copy_view(const moe_tensor_view& view) {
  const at::ScalarType type = scalar_type(view.dtype);
  check_device(view.device_type == 0 ? +MOE_DEVICE_CPU : view.device_type, view.device_index);
  check(view.reserved == 0, MOE_ERR_INVALID_ARGUMENT, "reserved: expected 0, got ", view.reserved);
  const auto item_bytes = static_cast<int64_t>(c10::elementSize(type));
  const Layout layout = check_layout(view.ndim, view.shape, view.strides, item_bytes);
  void* data = first_element(view.data, view.byte_offset, layout, item_bytes);
  // A foreign bool may be any byte; LibTorch's kernels rely on 0 and 1.
  const at::ScalarType stored = type == at::kBool ? at::kByte : type;
  at::Tensor copy = at::empty(layout.sizes, type);
  if (layout.elements == 0) return {copy, {}};
  if (type == at::kFloat && layout.strides == dense_strides(layout.sizes)) {
    const auto range = copy_with_range(static_cast<const float*>(data), copy.mutable_data_ptr<float>(), copy.numel());
    return {copy, range};
  }
  const at::Tensor source = at::from_blob(data, layout.sizes, layout.strides, at::TensorOptions(stored));
  return {copy.copy_(type == at::kBool ? source.ne(0) : source), {}};
}

at::Tensor adopt_dlpack(DlpackOwner owner) {
  check_version(owner->version);
  const DLTensor& tensor = owner->dl_tensor;
  const at::ScalarType type = scalar_type(dtype_of(tensor.dtype));
  check_device(tensor.device.device_type, tensor.device.device_id);
  const auto item_bytes = static_cast<int64_t>(c10::elementSize(type));
  const Layout layout = check_layout(tensor.ndim, tensor.shape, tensor.strides, item_bytes);
  void* data = first_element(tensor.data, tensor.byte_offset, layout, item_bytes);
  // The capture alone keeps the memory: LibTorch skips the deleter of an empty tensor, but never the capture's
  // destructor.
  const std::shared_ptr<DLManagedTensorVersioned> shared = std::move(owner);
  return at::from_blob(
      data, layout.sizes, layout.strides, [shared](void*) {}, at::TensorOptions(type));
}

DlpackOwner export_dlpack(const at::Tensor& tensor) {
  DlpackOwner owner(at::toDLPackVersioned(tensor));
  owner->flags |= DLPACK_FLAG_BITMASK_READ_ONLY;
  return owner;
}

moe_tensor_info tensor_info(const std::string& name, const at::Tensor& tensor) {
  moe_tensor_info info = MOE_TENSOR_INFO_INIT;
  info.dtype = dtype_of(tensor.scalar_type());
  info.ndim = static_cast<int32_t>(tensor.dim());
  check(info.ndim <= MOE_MAX_DIMS, MOE_ERR_INTERNAL, name, ": a batch holds a tensor of ", info.ndim, " dimensions");
  for (int32_t i = 0; i < info.ndim; ++i) info.shape[i] = tensor.size(i);
  info.bytes = tensor.nbytes();
  write_name(info.name, name);
  return info;
}

}  // namespace moe::capi
