package moe

import (
	"runtime"
	"testing"
	"time"
	"unsafe"
)

// A handle that is forgotten is freed once; one that is closed is not freed again.
func TestGarbageCollectorFrees(t *testing.T) {
	freed := make(chan unsafe.Pointer, 4)
	make := func() *handle {
		h, err := newHandle("thing", unsafe.Pointer(new(int)), func(p unsafe.Pointer) { freed <- p }, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	closed := make()
	if err := closed.close(); err != nil || len(freed) != 1 {
		t.Fatalf("expected close to free, got %v", err)
	}
	<-freed
	make()
	deadline := time.After(10 * time.Second)
	for {
		runtime.GC()
		select {
		case <-freed:
			runtime.KeepAlive(closed)
			return
		case <-deadline:
			t.Fatal("expected the garbage collector to free the handle")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
