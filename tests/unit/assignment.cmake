moe_test(test_assignment unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_assignment.cpp LINK moe_nn)
