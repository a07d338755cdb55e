moe_test(test_slices data TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_slices.cpp LINK moe_data)
