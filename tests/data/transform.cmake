moe_test(test_transform data TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_transform.cpp LINK moe_data)
