moe_test(test_detection_run train TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_detection_run.cpp LINK moe_train)
