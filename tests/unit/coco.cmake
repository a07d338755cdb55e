moe_test(test_coco unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_coco.cpp LINK moe_eval)
