moe_test(test_attention unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_attention.cpp LINK moe_nn)
