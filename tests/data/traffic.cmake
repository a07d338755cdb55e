moe_test(test_traffic data TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_traffic.cpp LINK moe_data)
