foreach(topic diffusion sample_metrics)
  moe_test(test_${topic} train TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${topic}.cpp LINK moe_train)
endforeach()
