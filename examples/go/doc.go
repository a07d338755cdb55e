// Package moe trains mixture-of-experts models: a thin layer over libmoe's C interface, which package config finds as "moe".
//
// A whole training is a run in a folder:
//
//	config, err := moe.LoadConfig("configs/rtdetr/synthetic.yml")
//	...
//	run, err := moe.OpenRun(config, "runs/first", moe.RunOptions{}) // new, or resumes what is there
//	...
//	defer run.Close()
//	for event, err := range run.Events(ctx) {
//		if err != nil {
//			return err
//		}
//		fmt.Println(event.Text)
//	}
//
// A program with its own data and loop feeds a [Session]: [Batch.Set] with a [View] of a slice, [Session.Feed],
// [Session.Step], [Session.ExpertStats]. What every call means, with shapes and units, stands in moe.h; this package
// keeps its names.
//
// Errors. Every error of the library is an [*Error] with one line of text, and errors.Is finds its status:
// errors.Is(err, moe.ErrShape). The end of an epoch or of a run is [io.EOF]. A call on a handle that was closed gives
// [ErrClosed], a panic in a log callback a [*PanicError].
//
// Handles. Close frees at once; a handle that is forgotten is freed by the garbage collector, which does not see how
// much memory stands behind it. Close may be called twice.
//
// Goroutines. Every handle may be used from any goroutine: calls on one handle wait for each other. Calls that a log
// callback makes do not wait: on a handle in use they give [ErrState]. A goroutine that trains should stay on one
// thread (runtime.LockOSThread), because every thread that computes has worker threads of its own; the iterators do it.
//
// Slices are read or written during the call only; nothing of them is kept.
package moe
