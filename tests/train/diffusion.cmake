moe_test(test_diffusion train TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_diffusion.cpp LINK moe_train)
