moe_test(test_batch_norm unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_batch_norm.cpp LINK moe_nn)
