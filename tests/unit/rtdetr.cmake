moe_test(test_rtdetr unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_rtdetr.cpp LINK moe_models)
