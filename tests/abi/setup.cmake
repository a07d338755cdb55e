# A LibTorch of another version stops the configuration with one line, and scripts/setup says what it lacks.
set(wrong_torch ${CMAKE_BINARY_DIR}/tests/wrong_torch)
file(WRITE ${wrong_torch}/torch/include/torch/headeronly/version.h
  "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 14\n#define TORCH_VERSION_PATCH 1\n")
add_test(NAME torch_version_at_configure COMMAND ${CMAKE_COMMAND} -S ${CMAKE_SOURCE_DIR} -B ${wrong_torch}/build
  -DMOE_TORCH_DIR=${wrong_torch}/torch -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER} -DCMAKE_C_COMPILER=${CMAKE_C_COMPILER})
set_tests_properties(torch_version_at_configure PROPERTIES LABELS abi TIMEOUT 120
  PASS_REGULAR_EXPRESSION "LibTorch in ${wrong_torch}/torch is version 2\\.14\\.1; libmoe needs 2\\.15")
add_test(NAME setup_errors COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/test_setup.sh ${CMAKE_SOURCE_DIR}/scripts/setup)
set_tests_properties(setup_errors PROPERTIES LABELS abi TIMEOUT 60)
