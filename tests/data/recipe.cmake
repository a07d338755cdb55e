moe_test(test_recipe data TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_recipe.cpp LINK moe_data)
