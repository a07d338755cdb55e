moe_test(test_routing_stats unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_routing_stats.cpp LINK moe_moe)
