moe_test(test_codec unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_codec.cpp LINK moe_image)
