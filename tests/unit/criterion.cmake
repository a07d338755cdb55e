moe_test(test_criterion unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_criterion.cpp LINK moe_models)
