moe_test(test_loader data TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_loader.cpp LINK moe_data)
