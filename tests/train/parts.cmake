foreach(topic safetensors safetensors_python groups schedule scaler)
  moe_test(test_${topic} train TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${topic}.cpp LINK moe_train)
endforeach()
foreach(topic optimizer ema)
  moe_test(test_${topic} train TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${topic}.cpp
    ${CMAKE_CURRENT_LIST_DIR}/../support/fail_alloc.cpp LINK moe_train)
endforeach()
