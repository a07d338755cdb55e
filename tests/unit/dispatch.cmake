moe_test(test_dispatch unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_dispatch.cpp LINK moe_moe)
