moe_test(test_kill fault TIMEOUT 600 SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_kill.c LINK moe)
moe_test(test_kill_diffusion fault TIMEOUT 600 SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_kill.c LINK moe)
target_compile_definitions(test_kill_diffusion PRIVATE KILL_DIFFUSION)
