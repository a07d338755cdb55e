moe_test(test_boxes unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_boxes.cpp LINK moe_nn)
