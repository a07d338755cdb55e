# The binary interface: layout of the structs, the header in every standard, the symbols and the dynamic section.
moe_test(test_layout abi SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_layout.c LINK moe)

find_program(MOE_PYTHON3 python3 REQUIRED)
set(header_flags -fsyntax-only -pedantic -Wall -Wextra -Werror -I${CMAKE_SOURCE_DIR}/include)
foreach(standard c99 c11 c17)
  add_test(NAME header_${standard}
    COMMAND ${CMAKE_C_COMPILER} -std=${standard} ${header_flags} -Wstrict-prototypes -Wc++-compat ${CMAKE_CURRENT_LIST_DIR}/header.c)
endforeach()
add_test(NAME header_c++17 COMMAND ${CMAKE_CXX_COMPILER} -std=c++17 ${header_flags} -x c++ ${CMAKE_CURRENT_LIST_DIR}/header.c)
add_test(NAME exported_symbols COMMAND ${MOE_PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/check_symbols.py $<TARGET_FILE:moe>
  ${CMAKE_SOURCE_DIR}/capi/moe.symbols ${CMAKE_SOURCE_DIR}/include/moe.h ${CMAKE_SOURCE_DIR}/tests/capi/test_arguments.c)
add_test(NAME dynamic_section COMMAND ${MOE_PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/check_binary.py $<TARGET_FILE:moe>)
set_tests_properties(header_c99 header_c11 header_c17 header_c++17 exported_symbols dynamic_section PROPERTIES LABELS abi TIMEOUT 60)
