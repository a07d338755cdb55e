# The imported target moe_torch: LibTorch 2.15, CPU libraries only. find_package(Torch) is not used: it asks for a CUDA
# toolkit even for a CPU process. DIR holds include/ and lib/ (the `torch` folder of a wheel or the official zip).
set(MOE_TORCH_DIR "" CACHE PATH "A LibTorch 2.15 to use in place of the one that scripts/setup unpacked")

set(MOE_CACHE "$ENV{HOME}/.cache/moe")  # of scripts/setup
if(DEFINED ENV{MOE_CACHE})
  set(MOE_CACHE "$ENV{MOE_CACHE}")
endif()

set(torch_dir "${MOE_TORCH_DIR}")
if(NOT torch_dir AND DEFINED ENV{MOE_TORCH_DIR})
  set(torch_dir "$ENV{MOE_TORCH_DIR}")
endif()
if(NOT torch_dir)
  set(torch_dir "${MOE_CACHE}/torch-2.15.0-cu132/torch")
endif()

set(torch_version "")
foreach(header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
  if(NOT torch_version AND EXISTS "${torch_dir}/include/${header}")
    file(STRINGS "${torch_dir}/include/${header}" lines REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) +[0-9]+")
    string(REGEX MATCHALL "[0-9]+" numbers "${lines}")
    string(JOIN "." torch_version ${numbers})
  endif()
endforeach()
if(NOT torch_version)
  message(FATAL_ERROR "no LibTorch in ${torch_dir}: run scripts/setup, or pass -DMOE_TORCH_DIR=DIR of a LibTorch 2.15")
elseif(NOT torch_version MATCHES "^2\\.15\\.")
  message(FATAL_ERROR "LibTorch in ${torch_dir} is version ${torch_version}; libmoe needs 2.15")
endif()

add_library(moe_torch INTERFACE)
target_include_directories(moe_torch SYSTEM INTERFACE "${torch_dir}/include" "${torch_dir}/include/torch/csrc/api/include")
# at::parallel_for is a template: without -fopenmp in our own sources it runs serially. LibTorch's libgomp is linked, so that one
# pool of threads serves both. The math flags are those LibTorch is built with; sqrt and select loops vectorise only with them.
target_compile_options(moe_torch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp -fno-math-errno -fno-trapping-math>)
file(GLOB torch_openmp "${torch_dir}/lib/libgomp*.so*")
target_link_libraries(moe_torch INTERFACE "${torch_dir}/lib/libtorch_cpu.so" "${torch_dir}/lib/libc10.so" ${torch_openmp})
set(MOE_TORCH_LIB "${torch_dir}/lib")
set(MOE_TORCH_VERSION ${torch_version})
message(STATUS "LibTorch ${torch_version}: ${torch_dir}")
