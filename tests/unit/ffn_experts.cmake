moe_test(test_ffn_experts unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_ffn_experts.cpp LINK moe_moe)
moe_test(test_soft_experts unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_soft_experts.cpp LINK moe_moe)
