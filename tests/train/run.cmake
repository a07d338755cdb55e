moe_test(test_run train TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_run.cpp LINK moe_train)
