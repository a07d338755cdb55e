foreach(topic torch_file pretrained parity)
  moe_test(test_${topic} train TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${topic}.cpp LINK moe_train)
endforeach()
moe_test(test_weights_python train TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_weights_python.cpp LINK moe_train)
