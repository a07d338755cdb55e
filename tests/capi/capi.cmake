# The C ABI, through libmoe.so alone. Each program is the tests of one topic plus support.c.
find_package(Threads REQUIRED)
foreach(topic arguments batches dlpack errors files runs sessions statuses)
  moe_test(test_capi_${topic} capi SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${topic}.c ${CMAKE_CURRENT_LIST_DIR}/support.c
    LINK moe Threads::Threads m TIMEOUT 600)
endforeach()
