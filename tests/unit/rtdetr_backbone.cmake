moe_test(test_rtdetr_backbone unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_rtdetr_backbone.cpp LINK moe_models)
