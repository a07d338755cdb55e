foreach(topic generation statistics_file features)
  moe_test(test_${topic} unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${topic}.cpp LINK moe_eval)
endforeach()
