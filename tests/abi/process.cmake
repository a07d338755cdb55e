# libmoe in a process of others: opened and closed at run time, beside a library with OpenMP, beside another LibTorch.
if(NOT MOE_SANITIZE)
  moe_test(test_load abi SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_load.c LINK ${CMAKE_DL_LIBS} Threads::Threads)
  add_dependencies(test_load moe)

  find_package(OpenMP REQUIRED COMPONENTS C)
  add_library(openmp_neighbour SHARED ${CMAKE_CURRENT_LIST_DIR}/openmp_neighbour.c)
  target_link_libraries(openmp_neighbour PRIVATE OpenMP::OpenMP_C)
  set_target_properties(openmp_neighbour PROPERTIES C_VISIBILITY_PRESET default LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  set(openmp_sources ${CMAKE_CURRENT_LIST_DIR}/test_openmp.c ${CMAKE_CURRENT_LIST_DIR}/../capi/support.c)
  moe_test(test_openmp_before abi SOURCES ${openmp_sources} LINK openmp_neighbour moe Threads::Threads m)
  moe_test(test_openmp_after abi SOURCES ${openmp_sources} LINK moe openmp_neighbour Threads::Threads m)

  # A LibTorch of another version in the process: the command says so in one line.
  add_library(other_torch SHARED ${CMAKE_CURRENT_LIST_DIR}/other_torch.c)
  set_target_properties(other_torch PROPERTIES C_VISIBILITY_PRESET default LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(MOE_EXAMPLES)
    add_test(NAME torch_of_another_version COMMAND moe_cli info)
    set_tests_properties(torch_of_another_version PROPERTIES LABELS abi TIMEOUT 60 ENVIRONMENT "LD_PRELOAD=$<TARGET_FILE:other_torch>"
      PASS_REGULAR_EXPRESSION "^moe: LibTorch: expected 2\\.15\\.[0-9]+, got 2\\.14\\.1, which this process loaded before libmoe[^\n]*\n$")
  endif()

  add_test(NAME torch_beside COMMAND ${MOE_PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/test_torch_beside.py)
  set_tests_properties(torch_beside PROPERTIES LABELS abi TIMEOUT 300 SKIP_RETURN_CODE 77 ENVIRONMENT
    "OMP_NUM_THREADS=2;MOE_SOURCE_DIR=${CMAKE_SOURCE_DIR};MOE_BINARY_DIR=${CMAKE_BINARY_DIR};MOE_TORCH_LIB=${MOE_TORCH_LIB};PYTHONDONTWRITEBYTECODE=1")
endif()
