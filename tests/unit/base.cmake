moe_test(test_text unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_text.cpp LINK moe_base)
moe_test(test_rng unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_rng.cpp LINK moe_base)
moe_test(test_files unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_files.cpp LINK moe_base)
