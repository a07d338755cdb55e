moe_test(test_session train TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_session.cpp LINK moe_train)
