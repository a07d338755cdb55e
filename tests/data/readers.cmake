moe_test(test_readers data TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_readers.cpp LINK moe_data)
