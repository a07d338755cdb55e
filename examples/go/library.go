package moe

// #cgo pkg-config: moe
// #include "bridge.h"
import "C"

import (
	"fmt"
	"sync"
)

// checkLibrary compares the library that was loaded with the header that this package was built with. An older library lacks
// functions and fields of the header; one with another binary interface means other things by the same names.
var checkLibrary = sync.OnceValue(func() error {
	if abi := int(C.moe_abi_version()); abi != C.MOE_ABI {
		return versionError("binary interface %d (moe.h), got %d", C.MOE_ABI, abi)
	}
	if version := int(C.moe_version()); version < C.MOE_VERSION {
		return versionError("version %d (moe.h) or later, got %d", C.MOE_VERSION, version)
	}
	return nil
})

func versionError(format string, want, got int) error {
	text := "libmoe.so: expected " + fmt.Sprintf(format, want, got)
	return &Error{Status: ErrVersion, Text: text + ": build with the moe.h of the library that is installed"}
}

// Version of the loaded library, such as "0.1.0".
func Version() string { return C.GoString(C.moe_version_string()) }

// BuildInfo gives a JSON object: version, abi, torch, cpu_capability, threads, cuda, gemm, compiler, tasks, libraries.
func BuildInfo() (string, error) {
	return readText(func(buffer *C.char, capacity C.size_t, needed *C.size_t) C.moe_status {
		return C.moe_build_info(buffer, capacity, needed)
	})
}

// SetThreads sets the number of threads, 1 to 1024, for the whole process; to be called before the first session.
func SetThreads(threads int) error {
	return call(func() C.moe_status { return C.moe_set_threads(c32(threads)) })
}

// Sizes of the structs as this build of the package has them. Go's build cache does not see that a header changed; the tests
// compare these with the header.
var structSizes = map[string]int{
	"moe_error_info":       C.sizeof_moe_error_info,
	"moe_tensor_view":      C.sizeof_moe_tensor_view,
	"moe_tensor_info":      C.sizeof_moe_tensor_info,
	"moe_generate_options": C.sizeof_moe_generate_options,
	"moe_data_report":      C.sizeof_moe_data_report,
	"moe_session_options":  C.sizeof_moe_session_options,
	"moe_step_info":        C.sizeof_moe_step_info,
	"moe_metric":           C.sizeof_moe_metric,
	"moe_layer_info":       C.sizeof_moe_layer_info,
	"moe_expert_stat":      C.sizeof_moe_expert_stat,
	"moe_layer_stat":       C.sizeof_moe_layer_stat,
	"moe_run_options":      C.sizeof_moe_run_options,
	"moe_run_event":        C.sizeof_moe_run_event,
}
