moe_test(test_kill fault TIMEOUT 600 SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_kill.c LINK moe)
