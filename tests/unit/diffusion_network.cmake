foreach(topic blocks frequency network sampling)
  moe_test(test_diffusion_${topic} unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_diffusion_${topic}.cpp LINK moe_models)
endforeach()
moe_test(test_denoising_error unit TORCH SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_denoising_error.cpp LINK moe_eval)
