moe_test(test_coco_files unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_coco_files.cpp LINK moe_eval)
