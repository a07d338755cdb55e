# The ABI gate: moe.h against the baseline capi/moe.abi, and the proof that it fires.
add_test(NAME abi_gate COMMAND ${MOE_PYTHON3} ${CMAKE_SOURCE_DIR}/capi/abi.py check --complete)
add_test(NAME abi_gate_fires COMMAND ${MOE_PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/test_gate.py)
set_tests_properties(abi_gate abi_gate_fires PROPERTIES LABELS abi TIMEOUT 120 ENVIRONMENT "CC=${CMAKE_C_COMPILER}")
