moe_test(test_denoising unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_denoising.cpp LINK moe_models)
