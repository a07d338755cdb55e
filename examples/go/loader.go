package moe

// #include "bridge.h"
import "C"

import (
	"io"
	"iter"
	"runtime"
	"unsafe"
)

// Loader reads a data set of the config in worker threads. The order of its batches depends on the seed and the epoch alone.
type Loader struct{ h *handle }

func (l *Loader) handle() *handle {
	if l == nil {
		return nil
	}
	return l.h
}

func (l *Loader) c() *C.moe_loader { return (*C.moe_loader)(l.h.ptr) }

func newLoader(ptr *C.moe_loader, err error) (*Loader, error) {
	h, err := newHandle("loader", unsafe.Pointer(ptr), func(p unsafe.Pointer) { C.moe_loader_free((*C.moe_loader)(p)) }, nil, err)
	if err != nil {
		return nil, err
	}
	return &Loader{h}, nil
}

// NewLoader opens one split of the config's data set: "train" (shuffled, augmented) or "val" (in order).
func NewLoader(config *Config, split string) (*Loader, error) {
	var out *C.moe_loader
	err := call(func() C.moe_status { return C.moe_loader_create(config.c(), cText(split), &out) }, config.handle())
	return newLoader(out, err)
}

// NewFileLoader reads image files without labels, for prediction.
func NewFileLoader(config *Config, paths []string) (*Loader, error) {
	var out *C.moe_loader
	err := call(func() C.moe_status {
		var pin runtime.Pinner
		defer pin.Unpin()
		texts := make([]*C.char, len(paths))
		for i, path := range paths {
			texts[i] = cText(path)
			pin.Pin(texts[i])
		}
		return C.moe_loader_create_files(config.c(), unsafe.SliceData(texts), C.size_t(len(texts)), &out)
	}, config.handle())
	return newLoader(out, err)
}

// Next fills a batch with the next one. After the last one of the epoch it gives io.EOF, and the call after that begins the next
// epoch.
func (l *Loader) Next(batch *Batch) error {
	return call(func() C.moe_status { return C.moe_loader_next(l.c(), batch.c()) }, l.handle(), batch.handle())
}

// Epoch iterates over the rest of the epoch. It is the same batch every time, and closed after the loop: what shall stay is to be
// read or fed within. An error ends the loop.
func (l *Loader) Epoch() iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		batch, err := NewBatch()
		if err != nil {
			yield(nil, err)
			return
		}
		defer batch.Close()
		for {
			err := l.Next(batch)
			if err == io.EOF || !yield(batch, err) || err != nil {
				return
			}
		}
	}
}

// SetLog tells a function of every sample that cannot be read and why, of odd annotations and of what the split holds; at once of
// what was noted since the loader was made. nil for silence, as at first.
func (l *Loader) SetLog(log LogFunc) error {
	next := newLogger(log)
	last := next // what the library does not hold in the end
	err := call(func() C.moe_status {
		status := C.moe_go_loader_set_log(l.c(), next.handle())
		if status == C.MOE_OK {
			l.h.log, last = next, l.h.log
		}
		return status
	}, l.handle())
	last.release()
	return err
}

// Size tells the samples in the split and the batches in one epoch.
func (l *Loader) Size() (samples, batches int64, err error) {
	var s, b C.int64_t
	err = call(func() C.moe_status { return C.moe_loader_size(l.c(), &s, &b) }, l.handle())
	return int64(s), int64(b), err
}

// FileName is that of the sample with this image id, as the data set gives it.
func (l *Loader) FileName(imageID int64) (string, error) {
	return readText(func(buffer *C.char, capacity C.size_t, needed *C.size_t) C.moe_status {
		return C.moe_loader_file_name(l.c(), C.int64_t(imageID), buffer, capacity, needed)
	}, l.handle())
}

// Broken counts the samples that could not be read since the loader was made.
func (l *Loader) Broken() (int64, error) {
	var count C.int64_t
	err := call(func() C.moe_status { return C.moe_loader_broken(l.c(), &count) }, l.handle())
	return int64(count), err
}

// Close stops the workers and frees the loader.
func (l *Loader) Close() error { return l.handle().close() }
