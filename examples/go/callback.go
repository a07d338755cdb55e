package moe

// #include "bridge.h"
import "C"

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/cgo"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// LogFunc receives one whole line without its newline, in the goroutine of the call that it is about. It must return or panic:
// runtime.Goexit, which testing.T.FailNow uses, would leave the library in the middle of the call.
type LogFunc func(level slog.Level, line string)

// PanicError tells that a log callback panicked. The call that it interrupted was carried out by the library; what it
// returns beside this error is valid.
type PanicError struct {
	Value any    // what was given to panic
	Stack []byte // of the panic
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("log callback: expected it to return, got a panic: %v", e.Value)
}

// Unwrap gives the panic's value when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// logger keeps a callback reachable for C, and the first panic of it until the call is over. It must not refer to the
// handle it serves: the table of cgo.Handle would keep that alive for ever.
type logger struct {
	fn     LogFunc
	self   cgo.Handle
	failed atomic.Pointer[PanicError]
}

// newLogger returns nil, a silent logger, for a nil function.
func newLogger(fn LogFunc) *logger {
	if fn == nil {
		return nil
	}
	log := &logger{fn: fn}
	log.self = cgo.NewHandle(log)
	return log
}

func (log *logger) handle() C.uintptr_t {
	if log == nil {
		return 0
	}
	return C.uintptr_t(log.self)
}

// release ends the logger; C must not hold it any more.
func (log *logger) release() {
	if log != nil {
		log.self.Delete()
	}
}

// join adds the panic of the call that is over, if there was one, to the call's own error, and forgets it.
func (log *logger) join(err error) error {
	if log == nil {
		return err
	}
	failure := log.failed.Swap(nil)
	if failure == nil {
		return err
	}
	if err == nil {
		return failure
	}
	return errors.Join(failure, err)
}

// tell runs the callback. A panic must not unwind through the library's frames: it is kept for the end of the call.
func (log *logger) tell(level slog.Level, line string) {
	if log.failed.Load() != nil {
		return
	}
	defer func() {
		if value := recover(); value != nil {
			log.failed.Store(&PanicError{Value: value, Stack: debug.Stack()})
		}
	}()
	log.fn(level, line)
}

// Threads that are inside a log callback.
var callbackThreads sync.Map

func currentThread() C.uintptr_t { return C.moe_go_thread() }

func inCallback() bool {
	_, inside := callbackThreads.Load(currentThread())
	return inside
}

func slogLevel(level C.int32_t) slog.Level {
	switch level {
	case C.MOE_LOG_DEBUG:
		return slog.LevelDebug
	case C.MOE_LOG_INFO:
		return slog.LevelInfo
	case C.MOE_LOG_WARNING:
		return slog.LevelWarn
	}
	return slog.LevelError
}
