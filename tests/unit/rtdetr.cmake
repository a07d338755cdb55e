moe_test(test_rtdetr unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_rtdetr.cpp
  ${CMAKE_CURRENT_LIST_DIR}/../support/fail_alloc.cpp LINK moe_models)
