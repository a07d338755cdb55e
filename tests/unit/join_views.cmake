moe_test(test_join_views unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_join_views.cpp LINK moe_models)
