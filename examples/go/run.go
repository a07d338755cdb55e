package moe

// #include "bridge.h"
import "C"

import (
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"time"
	"unsafe"
)

// Run is a whole training in a folder. Killed at any moment and opened again, it goes on from its last checkpoint and ends with
// the same bits.
type Run struct{ h *handle }

func (r *Run) handle() *handle {
	if r == nil {
		return nil
	}
	return r.h
}

func (r *Run) c() *C.moe_run { return (*C.moe_run)(r.h.ptr) }

// RunMode says what [OpenRun] does with the folder.
type RunMode int32

const (
	RunAuto   RunMode = C.MOE_RUN_AUTO   // new when the folder holds no run, else resume
	RunNew    RunMode = C.MOE_RUN_NEW    // the folder must not hold a run
	RunResume RunMode = C.MOE_RUN_RESUME // the folder must hold a run; the config may be nil: the run's own is used
)

// RunOptions belong to the process and not to the experiment.
type RunOptions struct {
	Mode RunMode
	Log  LogFunc // warnings and notes; nil: only into train.log
}

// OpenRun makes or resumes the run in a folder. From its first checkpoint on the config must be the one it was made with, except
// for keys that do not change the result so far.
func OpenRun(config *Config, dir string, options RunOptions) (*Run, error) {
	log := newLogger(options.Log)
	o := C.moe_run_options{struct_size: C.sizeof_moe_run_options, mode: C.int32_t(options.Mode)}
	C.moe_go_set_log(&o.log_fn, &o.log_user, log.handle())
	var out *C.moe_run
	var err error
	if config == nil {
		err = call(func() C.moe_status { return C.moe_run_open(nil, cText(dir), &o, &out) })
	} else {
		err = call(func() C.moe_status { return C.moe_run_open(config.c(), cText(dir), &o, &out) }, config.handle())
	}
	h, err := newHandle("run", unsafe.Pointer(out), func(p unsafe.Pointer) { C.moe_run_close((*C.moe_run)(p)) }, log, err)
	if err != nil {
		return nil, err
	}
	return &Run{h}, nil
}

// EventKind says what happened.
type EventKind int32

const (
	EventStep       EventKind = C.MOE_EVENT_STEP       // an optimizer step worth a line
	EventEpoch      EventKind = C.MOE_EVENT_EPOCH      // an epoch is over
	EventEval       EventKind = C.MOE_EVENT_EVAL       // an evaluation is over
	EventCheckpoint EventKind = C.MOE_EVENT_CHECKPOINT // a checkpoint was written
	EventDone       EventKind = C.MOE_EVENT_DONE       // the training is complete
)

var eventNames = map[EventKind]string{EventStep: "step", EventEpoch: "epoch", EventEval: "eval", EventCheckpoint: "checkpoint",
	EventDone: "done"}

func (k EventKind) String() string {
	if name, known := eventNames[k]; known {
		return name
	}
	return fmt.Sprintf("EventKind(%d)", int32(k))
}

// RunEvent tells what happened.
type RunEvent struct {
	Kind            EventKind
	Epoch, Epochs   int64 // from 1; planned
	Step, Steps     int64 // optimizer steps so far; planned in all
	Loss            float64
	Metric          float64 // of [EventEval] the first number, of [EventDone] the best one; else NaN
	ImagesPerSecond float64
	LoadTime        time.Duration // waiting for data, mean per step since the last step event
	StepTime        time.Duration // computing, mean per step since the last step event
	TimeLeft        time.Duration // estimate for the whole run
	Text            string        // one line for a person
}

func runEvent(c *C.moe_run_event) RunEvent {
	return RunEvent{
		Kind: EventKind(c.kind), Epoch: int64(c.epoch), Epochs: int64(c.epochs), Step: int64(c.step), Steps: int64(c.steps),
		Loss: float64(c.loss), Metric: float64(c.metric), ImagesPerSecond: float64(c.images_per_second),
		LoadTime: seconds(c.load_seconds), StepTime: seconds(c.step_seconds), TimeLeft: seconds(c.seconds_left),
		Text: C.GoString(&c.text[0]),
	}
}

// Next works until the next event. io.EOF when the run is complete. When ctx ends, the step at hand is finished, a checkpoint
// written, and the error is [ErrCancelled] and ctx's cause; the run can be opened again.
func (r *Run) Next(ctx context.Context) (RunEvent, error) {
	c := C.moe_run_event{struct_size: C.sizeof_moe_run_event}
	err := stoppable(ctx, r.stop, func() C.moe_status { return C.moe_run_next(r.c(), &c) }, r.handle())
	return runEvent(&c), err
}

// Events iterates over all that happens until the run is complete. An error ends the loop.
func (r *Run) Events(ctx context.Context) iter.Seq2[RunEvent, error] {
	return func(yield func(RunEvent, error) bool) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for {
			event, err := r.Next(ctx)
			if err == io.EOF || !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// RequestStop asks [Run.Next] to finish the step at hand, write a checkpoint and give [ErrCancelled]. It does not wait.
func (r *Run) RequestStop() error {
	return r.handle().whileOpen(func() { C.moe_run_request_stop(r.c()) })
}

func (r *Run) stop() { r.RequestStop() }

// Session is the run's own, to ask for statistics or predictions between two events. It ends with the run.
func (r *Run) Session() (*Session, error) {
	var out *C.moe_session
	if err := call(func() C.moe_status { return C.moe_run_session(r.c(), &out) }, r.handle()); err != nil {
		return nil, err
	}
	return &Session{r.h, out}, nil
}

// Close closes the files. Work since the last checkpoint is lost.
func (r *Run) Close() error { return r.handle().close() }
