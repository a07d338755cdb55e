# Flags and helper functions that every target of libmoe shares.
add_library(moe_flags INTERFACE)
target_compile_options(moe_flags INTERFACE -Wall -Wextra -Wpedantic -Werror
  # gcc 12 reports string concatenation and inlined vectors as overflows that cannot happen (GCC bugs 105651, 105329).
  $<$<COMPILE_LANGUAGE:CXX>:-Wno-missing-field-initializers -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds>
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>)
target_include_directories(moe_flags INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
if(MOE_SANITIZE)
  target_compile_options(moe_flags INTERFACE -fsanitize=${MOE_SANITIZE} -fno-omit-frame-pointer -g1)
  target_link_options(moe_flags INTERFACE -fsanitize=${MOE_SANITIZE})
endif()

# moe_layer(NAME [TORCH] SOURCES ... LINK ...): one directory of src/ as a static library libmoe_NAME.a. TORCH adds LibTorch and
# its precompiled header. A layer links only the layers below it, so an include that goes upwards fails to link.
function(moe_layer name)
  cmake_parse_arguments(arg "TORCH" "" "SOURCES;LINK" ${ARGN})
  add_library(moe_${name} STATIC ${arg_SOURCES})
  target_link_libraries(moe_${name} PUBLIC ${arg_LINK} moe_flags)
  if(arg_TORCH)
    target_link_libraries(moe_${name} PUBLIC moe_torch)
    target_precompile_headers(moe_${name} REUSE_FROM moe_pch)
  endif()
endfunction()

# moe_test(NAME LABEL [TORCH] SOURCES ... LINK ...): a CMocka program and its ctest entry.
function(moe_test name label)
  cmake_parse_arguments(arg "TORCH" "TIMEOUT" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINK} moe_flags cmocka)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  if(arg_TORCH)
    target_precompile_headers(${name} REUSE_FROM moe_pch)
    target_compile_options(${name} PRIVATE -fPIC)  # as the precompiled header; an executable would get -fPIE
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 900)  # a loaded machine must not fail a test that is right
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${label}" TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77
    ENVIRONMENT "OMP_NUM_THREADS=2;MOE_SOURCE_DIR=${CMAKE_SOURCE_DIR};MOE_BINARY_DIR=${CMAKE_BINARY_DIR}")
endfunction()
