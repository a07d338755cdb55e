moe_test(test_run train TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_run.cpp LINK moe_train)
moe_test(test_run_report train TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_run_report.cpp LINK moe_train)
