moe_test(test_nn_layers unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_nn_layers.cpp LINK moe_nn)
