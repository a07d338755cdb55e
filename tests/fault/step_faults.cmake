moe_test(test_step_faults fault TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_step_faults.cpp
  ${CMAKE_CURRENT_LIST_DIR}/../support/fail_alloc.cpp LINK moe_train)
