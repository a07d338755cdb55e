moe_test(test_rtdetr_experts unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_rtdetr_experts.cpp LINK moe_models)
