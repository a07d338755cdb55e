package moe

// #include <stdint.h>
import "C"

import "runtime/cgo"

// moeGoLog is the Go side of the log callback; it runs on the thread, and in the goroutine, of the call.
//
//export moeGoLog
func moeGoLog(level C.int32_t, message *C.char, user C.uintptr_t) {
	thread := currentThread()
	if _, nested := callbackThreads.LoadOrStore(thread, nil); !nested {
		defer callbackThreads.Delete(thread)
	}
	cgo.Handle(user).Value().(*logger).tell(slogLevel(level), C.GoString(message))
}
