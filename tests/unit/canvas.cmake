moe_test(test_canvas unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_canvas.cpp LINK moe_image)
