foreach(topic batch checkpoint_fn cpu_allocator gemm linear scope random)
  moe_test(test_${topic} unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${topic}.cpp LINK moe_tensor)
endforeach()
