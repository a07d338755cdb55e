moe_test(test_labelled data TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_labelled.cpp LINK moe_data)
