#!/bin/sh
# check_library.sh LIBRARY: libmoe_cuda.so exports one function of libmoe, leaves none of libmoe's undefined, and names
# the libraries of LibTorch and CUDA that it calls.
library=$1
exports=$(nm -D --defined-only "$library" | awk '/moe/ {print $3}')
if [ "$exports" != moe_cuda_open ]; then
  echo "$library: expected the export moe_cuda_open, got: $exports" >&2
  exit 1
fi
undefined=$(nm -DC --undefined-only "$library" | grep ' moe::')
if [ -n "$undefined" ]; then
  echo "$library: expected no undefined symbol of libmoe, got: $undefined" >&2
  exit 1
fi
for name in libtorch_cuda.so libc10_cuda.so libcublas.so.13 libcudart.so.13; do
  if ! readelf -d "$library" | grep -q "NEEDED.*\[$name\]"; then
    echo "$library: expected $name among the libraries it names" >&2
    exit 1
  fi
done
