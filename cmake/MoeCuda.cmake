# What libmoe_cuda.so is built with: nvcc, the CUDA runtime, cuBLAS and LibTorch's CUDA libraries. nvcc is called by custom
# commands: CMake's CUDA language wants a toolkit laid out as NVIDIA's installer does it, the wheels have another layout.
set(MOE_CUDA_ARCHS "75;80;86;89;90;100;120" CACHE STRING "GPU architectures (sm_XX) to build for; the newest also as PTX")
set(MOE_NVCC "" CACHE FILEPATH "nvcc 13.2 to use in place of the one that scripts/setup --cuda unpacked")

set(cuda_dir "${torch_dir}/../nvidia/cu13")
set(nvcc "${MOE_NVCC}")
if(NOT nvcc)
  set(nvcc "${cuda_dir}/bin/nvcc")
endif()
if(NOT EXISTS "${nvcc}")
  message(FATAL_ERROR "no nvcc in ${nvcc}: run scripts/setup --cuda, or pass -DMOE_NVCC=FILE of a CUDA 13.2 toolkit")
endif()
execute_process(COMMAND "${nvcc}" --version OUTPUT_VARIABLE nvcc_text)
if(NOT nvcc_text MATCHES "release (13\\.2)")
  message(FATAL_ERROR "${nvcc}: expected CUDA 13.2, as LibTorch is built with, got ${nvcc_text}")
endif()
cmake_path(GET nvcc PARENT_PATH nvcc_dir)
cmake_path(GET nvcc_dir PARENT_PATH toolkit_dir)

# The first of the names that the wheels' folder, the toolkit's or LibTorch's holds.
function(moe_cuda_library variable)
  foreach(folder "${cuda_dir}/lib" "${toolkit_dir}/lib64" "${torch_dir}/lib")
    foreach(name ${ARGN})
      if(EXISTS "${folder}/${name}")
        set(${variable} "${folder}/${name}" PARENT_SCOPE)
        return()
      endif()
    endforeach()
  endforeach()
  message(FATAL_ERROR "no ${ARGV1} in ${cuda_dir}/lib, ${toolkit_dir}/lib64 or ${torch_dir}/lib: run scripts/setup --cuda")
endfunction()
moe_cuda_library(cudart libcudart.so.13)
moe_cuda_library(cublas libcublas.so.13)
moe_cuda_library(torch_cuda libtorch_cuda.so)
moe_cuda_library(c10_cuda libc10_cuda.so)

add_library(moe_cuda_libraries INTERFACE)
target_link_libraries(moe_cuda_libraries INTERFACE "${torch_cuda}" "${c10_cuda}" "${cublas}" "${cudart}")
target_include_directories(moe_cuda_libraries SYSTEM INTERFACE "${toolkit_dir}/include")
cmake_path(GET cudart PARENT_PATH MOE_CUDA_LIB)

set(MOE_NVCC_FLAGS -std=c++20 -O3 -DNDEBUG -ccbin "${CMAKE_CXX_COMPILER}" -Xcompiler=-fPIC,-fvisibility=hidden,-Wall
  --expt-relaxed-constexpr -Xptxas=-v -Werror=all-warnings -I "${CMAKE_SOURCE_DIR}/src" -isystem "${torch_dir}/include")
foreach(arch ${MOE_CUDA_ARCHS})
  list(APPEND MOE_NVCC_FLAGS -gencode=arch=compute_${arch},code=sm_${arch})
endforeach()
list(APPEND MOE_NVCC_FLAGS -gencode=arch=compute_${arch},code=compute_${arch})

# moe_cuda_objects(VARIABLE SOURCE...): objects of .cu files, and beside each SOURCE.ptxas, what ptxas says of registers.
function(moe_cuda_objects variable)
  set(objects "")
  foreach(source ${ARGN})
    cmake_path(GET source STEM stem)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/${stem}.o")
    add_custom_command(OUTPUT "${object}" BYPRODUCTS "${CMAKE_CURRENT_BINARY_DIR}/${stem}.ptxas"
      COMMAND "${CMAKE_SOURCE_DIR}/cmake/nvcc_report" "${CMAKE_CURRENT_BINARY_DIR}/${stem}.ptxas"
        "${nvcc}" ${MOE_NVCC_FLAGS} -MMD -MF "${object}.d" -c "${source}" -o "${object}"
      DEPENDS "${source}" "${CMAKE_SOURCE_DIR}/cmake/nvcc_report" DEPFILE "${object}.d"
      COMMENT "nvcc ${stem}.cu" VERBATIM)
    list(APPEND objects "${object}")
  endforeach()
  set(${variable} "${objects}" PARENT_SCOPE)
endfunction()
message(STATUS "CUDA 13.2: ${nvcc}, sm ${MOE_CUDA_ARCHS} and PTX")
