package moe

// #include "bridge.h"
import "C"

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
)

// handle is what stands behind every object of the library: its pointer, and who may use it when. Objects that share a
// state in the library, a run and its session, share the handle.
type handle struct {
	kind string // for messages: "session"
	id   uint64 // order of locking
	mu   sync.Mutex
	stop sync.RWMutex   // a stop request, which does not wait for mu, against Close
	ptr  unsafe.Pointer // nil when closed; written under both locks, read under either
	free func(unsafe.Pointer)
	log  *logger // nil: silent
}

var handleCount atomic.Uint64

// newHandle takes over what a constructor gave, and its logger. With an error, or a panic of the log callback, nothing stays open.
func newHandle(kind string, ptr unsafe.Pointer, free func(unsafe.Pointer), log *logger, err error) (*handle, error) {
	if err != nil {
		err = log.join(err)
		log.release()
		return nil, err
	}
	h := &handle{kind: kind, id: handleCount.Add(1), ptr: ptr, free: free, log: log}
	if err := log.join(nil); err != nil {
		h.close()
		return nil, err
	}
	runtime.SetFinalizer(h, (*handle).close)
	return h, nil
}

// lock waits for the call that uses the handle, if any. Waiting inside a log callback could wait for itself.
func (h *handle) lock() error {
	if h.mu.TryLock() {
		return nil
	}
	if inCallback() {
		text := h.kind + ": expected a call after the log callback has returned, got one from inside, while the " + h.kind + " is in use"
		return &Error{Status: ErrState, Text: text}
	}
	h.mu.Lock()
	return nil
}

func (h *handle) close() error {
	if h == nil {
		return nil
	}
	if err := h.lock(); err != nil {
		return err
	}
	defer h.mu.Unlock()
	h.stop.Lock()
	defer h.stop.Unlock()
	if h.ptr == nil {
		return nil
	}
	h.free(h.ptr)
	h.ptr = nil
	h.log.release()
	runtime.SetFinalizer(h, nil)
	return nil
}

// whileOpen runs a stop request, beside a call that may be in progress.
func (h *handle) whileOpen(request func()) error {
	if h == nil {
		return errClosed("handle")
	}
	h.stop.RLock()
	defer h.stop.RUnlock()
	if h.ptr == nil {
		return errClosed(h.kind)
	}
	request()
	return nil
}

func errClosed(kind string) error {
	return &Error{Status: ErrState, Text: kind + ": expected an open one, got one that is closed", cause: ErrClosed}
}

// acquire locks open handles in the order of their making, so that two calls cannot wait for each other. A handle may occur
// twice. On an error none is locked.
func acquire(handles []*handle) error {
	if slices.Contains(handles, nil) {
		return errClosed("handle")
	}
	if len(handles) > 1 {
		slices.SortFunc(handles, func(a, b *handle) int { return cmp.Compare(a.id, b.id) })
	}
	for i, h := range handles {
		if i > 0 && h == handles[i-1] {
			continue
		}
		if err := h.lock(); err != nil {
			release(handles[:i])
			return err
		}
		if h.ptr == nil {
			release(handles[:i+1])
			return errClosed(h.kind)
		}
	}
	return nil
}

func release(handles []*handle) {
	for i, h := range handles {
		if i == 0 || h != handles[i-1] {
			h.mu.Unlock()
		}
	}
}

// call runs one call of the library on open handles. The goroutine keeps its thread until the error text, which belongs to the
// thread, is read.
func call(f func() C.moe_status, handles ...*handle) (err error) {
	if err := checkLibrary(); err != nil {
		return err
	}
	if err := acquire(handles); err != nil {
		return err
	}
	defer release(handles)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer recoverBadText(&err)
	err = result(f())
	for _, h := range handles {
		err = h.log.join(err)
	}
	return err
}

func result(status C.moe_status) error {
	switch status {
	case C.MOE_OK:
		return nil
	case C.MOE_END:
		return io.EOF
	}
	return lastError(status)
}

// stoppable is call for work that ends early when ctx does: then `request` asks the library to stop. A request is made only while
// the call is in progress, so that it cannot hit another one.
func stoppable(ctx context.Context, request func(), f func() C.moe_status, handles ...*handle) error {
	err := call(func() C.moe_status {
		defer watch(ctx, request)()
		return f()
	}, handles...)
	var cancelled *Error
	if ctx.Err() != nil && errors.As(err, &cancelled) && cancelled.Status == ErrCancelled {
		cancelled.cause = context.Cause(ctx)
	}
	return err
}

// watch calls request once when ctx ends, until the function it returns is called.
func watch(ctx context.Context, request func()) (end func()) {
	if ctx.Err() != nil {
		request()
		return func() {}
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		request()
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}

// c32 is a number for C; one that does not fit into 32 bits is out of range there as well.
func c32(n int) C.int32_t { return C.int32_t(max(math.MinInt32, min(n, math.MaxInt32))) }

// badText is what cText panics with, and call turns into an error.
type badText string

// cText gives text with its NUL for the length of a call; to be used inside the function given to call.
func cText(text string) *C.char {
	if strings.IndexByte(text, 0) >= 0 {
		panic(badText(text))
	}
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(append([]byte(text), 0))))
}

// cTextOrNull gives NULL for no text.
func cTextOrNull(text string) *C.char {
	if text == "" {
		return nil
	}
	return cText(text)
}

func recoverBadText(err *error) {
	switch value := recover().(type) {
	case nil:
	case badText:
		text := strings.ReplaceAll(string(value), "\x00", `\x00`)
		*err = &Error{Status: ErrInvalidArgument, Text: "expected a text without NUL bytes, got \"" + text + "\""}
	default:
		panic(value)
	}
}

// readText runs a call that fills a buffer with text: once for the size, once for the text.
func readText(ask func(buffer *C.char, capacity C.size_t, needed *C.size_t) C.moe_status, handles ...*handle) (string, error) {
	var text []byte
	err := call(func() C.moe_status {
		var needed C.size_t
		if status := ask(nil, 0, &needed); status != C.MOE_OK {
			return status
		}
		text = make([]byte, needed)
		return ask((*C.char)(unsafe.Pointer(unsafe.SliceData(text))), needed, nil)
	}, handles...)
	if err != nil {
		return "", err
	}
	return string(text[:len(text)-1]), nil
}

// readArray does the same for a call that fills an array.
func readArray[T any](ask func(items *T, capacity C.size_t, count *C.size_t) C.moe_status, handles ...*handle) ([]T, error) {
	var items []T
	err := call(func() C.moe_status {
		var count C.size_t
		if status := ask(nil, 0, &count); status != C.MOE_OK || count == 0 {
			return status
		}
		items = make([]T, count)
		return ask(unsafe.SliceData(items), count, &count)
	}, handles...)
	return items, err
}
