# The `moe` command and the C examples as a user calls them.
if(MOE_EXAMPLES)
  foreach(topic sample sweep)
    add_test(NAME test_${topic} COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/test_${topic}.sh ${CMAKE_BINARY_DIR} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(test_${topic} PROPERTIES LABELS capi TIMEOUT 300 ENVIRONMENT "OMP_NUM_THREADS=1")
  endforeach()
  add_test(NAME test_cli COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/test_cli.sh ${CMAKE_BINARY_DIR} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(test_cli PROPERTIES LABELS capi TIMEOUT 600 ENVIRONMENT "OMP_NUM_THREADS=1")
endif()
