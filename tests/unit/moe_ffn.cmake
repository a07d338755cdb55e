moe_test(test_moe_ffn unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_moe_ffn.cpp LINK moe_nn)
