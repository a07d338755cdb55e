moe_test(test_deformable_attention unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_deformable_attention.cpp LINK moe_nn)
