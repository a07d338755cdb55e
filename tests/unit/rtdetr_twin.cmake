moe_test(test_rtdetr_twin unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_rtdetr_twin.cpp LINK moe_train)
