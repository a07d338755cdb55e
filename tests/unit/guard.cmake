moe_test(test_guard unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_guard.cpp ${CMAKE_SOURCE_DIR}/capi/guard.cpp LINK moe_tensor)
