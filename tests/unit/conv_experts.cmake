moe_test(test_conv_experts unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_conv_experts.cpp LINK moe_moe)
