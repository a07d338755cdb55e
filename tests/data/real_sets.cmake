moe_test(test_real_sets data TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_real_sets.cpp LINK moe_data)
