moe_test(test_check data TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_check.cpp LINK moe_data)
