moe_test(test_config unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_config.cpp LINK moe_config)
moe_test(test_config_files unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_config_files.cpp LINK moe_config)
