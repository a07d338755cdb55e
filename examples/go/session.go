package moe

// #include "bridge.h"
import "C"

import (
	"context"
	"math"
	"time"
	"unsafe"
)

// Session is a model, its optimizer and its statistics. [Session.Feed] queues micro-batches; [Session.Step] computes all of them
// and commits everything together, or gives an error and leaves everything as it was.
type Session struct {
	h   *handle        // shared with the run that a session belongs to
	ptr *C.moe_session // valid while the handle is open
}

func (s *Session) handle() *handle {
	if s == nil {
		return nil
	}
	return s.h
}

// SessionOptions belong to the process and not to the experiment.
type SessionOptions struct {
	Log LogFunc // nil: silent
}

func newSession(options SessionOptions, create func(*C.moe_session_options, **C.moe_session) C.moe_status, handles ...*handle) (*Session, error) {
	log := newLogger(options.Log)
	o := C.moe_session_options{struct_size: C.sizeof_moe_session_options}
	C.moe_go_set_log(&o.log_fn, &o.log_user, log.handle())
	var out *C.moe_session
	err := call(func() C.moe_status { return create(&o, &out) }, handles...)
	h, err := newHandle("session", unsafe.Pointer(out), func(p unsafe.Pointer) { C.moe_session_free((*C.moe_session)(p)) }, log, err)
	if err != nil {
		return nil, err
	}
	return &Session{h, out}, nil
}

// NewSession builds the model of the config and loads `model.pretrained` if it is set.
func NewSession(config *Config, options SessionOptions) (*Session, error) {
	return newSession(options, func(o *C.moe_session_options, out **C.moe_session) C.moe_status {
		return C.moe_session_create(config.c(), o, out)
	}, config.handle())
}

// OpenSession reads a checkpoint file, or a run folder (its best checkpoint, else its last), with the settings stored there.
func OpenSession(path string, options SessionOptions) (*Session, error) {
	return newSession(options, func(o *C.moe_session_options, out **C.moe_session) C.moe_status {
		return C.moe_session_open(cText(path), o, out)
	})
}

// Config is a copy of the session's settings.
func (s *Session) Config() (*Config, error) {
	var out *C.moe_config
	err := call(func() C.moe_status { return C.moe_session_config(s.ptr, &out) }, s.handle())
	return newConfig(out, err)
}

// DescribeBatch tells, one line per tensor, what Feed expects: name, type, shape, meaning.
func (s *Session) DescribeBatch() (string, error) {
	return readText(func(buffer *C.char, capacity C.size_t, needed *C.size_t) C.moe_status {
		return C.moe_session_describe_batch(s.ptr, buffer, capacity, needed)
	}, s.handle())
}

// Feed checks a micro-batch and queues it; the batch may be changed or closed afterwards. On an error nothing is queued.
func (s *Session) Feed(batch *Batch) error {
	return call(func() C.moe_status { return C.moe_session_feed(s.ptr, batch.c()) }, s.handle(), batch.handle())
}

// LossTerm is one weighted term of a loss.
type LossTerm struct {
	Name  string
	Value float64
}

// StepInfo tells what a step did.
type StepInfo struct {
	MicroBatches int     // in the window
	Step         int64   // optimizer steps so far, this one included
	Samples      int64   // in the window
	Loss         float64 // sum of the weighted terms, as if the window were one batch
	GradNorm     float64 // global L2 norm before clipping
	LR           float64 // of the first parameter group
	Duration     time.Duration
	Skipped      bool // fp16 gradients overflowed, the scale was lowered, weights unchanged
	Terms        []LossTerm
}

func stepInfo(c *C.moe_step_info) StepInfo {
	info := StepInfo{
		MicroBatches: int(c.micro_batches), Step: int64(c.step), Samples: int64(c.samples), Loss: float64(c.loss),
		GradNorm: float64(c.grad_norm), LR: float64(c.lr), Duration: seconds(c.seconds), Skipped: c.skipped != 0,
	}
	for i := range int(c.loss_count) {
		info.Terms = append(info.Terms, LossTerm{C.GoString(&c.loss_name[i][0]), float64(c.loss_value[i])})
	}
	return info
}

// seconds as a duration; unknown times, which are not finite, are 0.
func seconds(s C.double) time.Duration {
	if math.IsNaN(float64(s)) || math.Abs(float64(s)) > math.MaxInt64/float64(time.Second) {
		return 0
	}
	return time.Duration(float64(s) * float64(time.Second))
}

// Step trains on the queued window, then empties it. All or nothing: on any error the session is bit for bit as before and the
// window is empty. When ctx ends, the step stops at its next micro-batch with [ErrCancelled] and ctx's cause; an end that comes
// too late for that lets this step succeed and stops the session's next one.
func (s *Session) Step(ctx context.Context) (StepInfo, error) {
	var c C.moe_step_info
	C.moe_step_info_init(&c)
	err := stoppable(ctx, s.stop, func() C.moe_status { return C.moe_session_step(s.ptr, &c) }, s.handle())
	return stepInfo(&c), err
}

// Discard drops the queued window.
func (s *Session) Discard() error {
	return call(func() C.moe_status { return C.moe_session_discard(s.ptr) }, s.handle())
}

// Predict runs the model without training it and gives the named results. The batch needs no targets.
func (s *Session) Predict(batch *Batch) (*Batch, error) {
	out, err := NewBatch()
	if err != nil {
		return nil, err
	}
	err = call(func() C.moe_status { return C.moe_session_predict(s.ptr, batch.c(), out.c()) }, s.handle(), batch.handle(), out.handle())
	if err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

// Metric is one named number of an evaluation.
type Metric struct {
	Name  string // "AP", "AP50", "AP/car" ...; the first one is what `best` is chosen by
	Value float64
}

// Evaluate goes through one epoch of a "val" loader, with the official rules of the task's metric. It stops when ctx ends.
func (s *Session) Evaluate(ctx context.Context, loader *Loader) ([]Metric, error) {
	var found []C.moe_metric
	err := stoppable(ctx, s.stop, func() C.moe_status {
		var count C.size_t
		if status := C.moe_session_evaluate(s.ptr, loader.c(), nil, 0, &count); status != C.MOE_OK || count == 0 {
			return status
		}
		found = make([]C.moe_metric, count)
		return C.moe_session_evaluate(s.ptr, loader.c(), &found[0], count, &count)
	}, s.handle(), loader.handle())
	return metrics(found), err
}

func metrics(found []C.moe_metric) []Metric {
	out := make([]Metric, len(found))
	for i := range found {
		out[i] = Metric{C.GoString(&found[i].name[0]), float64(found[i].value)}
	}
	return out
}

// Draw writes a PNG file of sample `index` of a batch with its predictions; results below minScore are left out.
func (s *Session) Draw(batch, prediction *Batch, index int64, minScore float64, path string) error {
	return call(func() C.moe_status {
		return C.moe_session_draw(s.ptr, batch.c(), prediction.c(), C.int64_t(index), C.double(minScore), cText(path))
	}, s.handle(), batch.handle(), prediction.handle())
}

// Save writes a checkpoint; the file appears whole or not at all.
func (s *Session) Save(path string) error {
	return call(func() C.moe_status { return C.moe_session_save(s.ptr, cText(path)) }, s.handle())
}

// Export writes the weights alone for other programs. format: "own" (one safetensors file) or, for rtdetr without experts,
// "transformers" (a folder).
func (s *Session) Export(format, path string) error {
	return call(func() C.moe_status { return C.moe_session_export(s.ptr, cText(format), cText(path)) }, s.handle())
}

// Load restores what Save wrote. On any error the session is unchanged.
func (s *Session) Load(path string) error {
	return call(func() C.moe_status { return C.moe_session_load(s.ptr, cText(path)) }, s.handle())
}

// Get reads a value as text: "state.step", "state.digest", "model.summary" ...; moe.h lists the keys.
func (s *Session) Get(key string) (string, error) {
	return readText(func(buffer *C.char, capacity C.size_t, needed *C.size_t) C.moe_status {
		return C.moe_session_get(s.ptr, cText(key), buffer, capacity, needed)
	}, s.handle())
}

// Set changes a value while training: "state.epoch", "optimizer.groups.NAME.lr".
func (s *Session) Set(key, value string) error {
	return call(func() C.moe_status { return C.moe_session_set(s.ptr, cText(key), cText(value)) }, s.handle())
}

// RequestStop asks a running step or evaluation to stop at the next micro-batch. It does not wait for the call in progress.
func (s *Session) RequestStop() error {
	return s.handle().whileOpen(func() { C.moe_session_request_stop(s.ptr) })
}

func (s *Session) stop() { s.RequestStop() }

// Close frees the session, with what it has queued. The session of a run ends with the run; closing it does nothing.
func (s *Session) Close() error {
	h := s.handle()
	if h == nil || h.kind == "run" {
		return nil
	}
	return h.close()
}
