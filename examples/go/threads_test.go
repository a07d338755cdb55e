package moe_test

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"example.org/moe"
)

// parallel runs the functions at once and gives their errors.
func parallel(functions ...func() error) []error {
	errs := make([]error, len(functions))
	var group sync.WaitGroup
	for i, function := range functions {
		group.Add(1)
		go func() {
			defer group.Done()
			errs[i] = function()
		}()
	}
	group.Wait()
	return errs
}

// Calls on one session from many goroutines wait for each other; a step may find that another one took what was fed.
func TestOneSessionInManyGoroutines(t *testing.T) {
	session, batch := tinySession(t), tinyBatch(t, 1)
	work := func() error {
		for range 10 {
			if err := session.Feed(batch); err != nil {
				return err
			}
			if _, err := session.Step(context.Background()); err != nil && !errors.Is(err, moe.ErrState) {
				return err
			}
			if _, err := session.ExpertStats(0, moe.Lifetime); err != nil {
				return err
			}
		}
		return nil
	}
	replace := func() error {
		for i := range 50 {
			if err := batch.Set("other", moe.View(make([]float32, i), int64(i))); err != nil {
				return err
			}
			if _, _, err := moe.Read[float32](batch, "other"); err != nil {
				return err
			}
		}
		return nil
	}
	for _, err := range parallel(work, work, work, replace) {
		ok(t, err)
	}
}

// Every goroutine reads the error of its own call, whatever thread the call was made on.
func TestErrorsBelongToTheirCalls(t *testing.T) {
	config := tinyConfig(t)
	ask := func(key string) func() error {
		return func() error {
			for range 2000 {
				_, err := config.Get(key)
				var detail *moe.Error
				if !errors.As(err, &detail) || detail.Status != moe.ErrNotFound {
					return errors.New("unexpected: " + err.Error())
				}
				runtime.Gosched()
			}
			_, err := config.Get(key)
			return err
		}
	}
	keys := []string{"no.such.a", "no.such.b", "no.such.c", "no.such.d"}
	errs := parallel(ask(keys[0]), ask(keys[1]), ask(keys[2]), ask(keys[3]))
	for i, err := range errs {
		expectError(t, err, moe.ErrNotFound, keys[i])
	}
}

// The same training on goroutines that wander from thread to thread gives the same bits.
func TestSessionsSideBySide(t *testing.T) {
	digests := make([]string, 3)
	train := func(i int) func() error {
		session, batch := tinySession(t), tinyBatch(t, 1)
		return func() (err error) {
			for range 5 {
				if err = session.Feed(batch); err != nil {
					return err
				}
				if _, err = session.Step(context.Background()); err != nil {
					return err
				}
			}
			digests[i], err = session.Get("state.digest")
			return err
		}
	}
	for _, err := range parallel(train(0), train(1), train(2)) {
		ok(t, err)
	}
	if digests[0] != digests[1] || digests[0] != digests[2] {
		t.Fatalf("expected the same bits, got %v", digests)
	}
}

func TestCloseBesideACall(t *testing.T) {
	run := must(moe.OpenRun(tinyScenes(t, "train.epochs", "1000"), filepath.Join(t.TempDir(), "run"), moe.RunOptions{}))
	session := must(run.Session())
	started := make(chan struct{})
	var once sync.Once
	errs := parallel(
		func() error {
			for _, err := range run.Events(context.Background()) {
				once.Do(func() { close(started) })
				if err != nil {
					return err
				}
			}
			return nil
		},
		func() error {
			<-started
			for {
				if _, err := session.LayerStat(0, moe.Lifetime); err != nil {
					return err
				}
			}
		},
		func() error {
			<-started
			time.Sleep(50 * time.Millisecond)
			return run.Close()
		})
	expectError(t, errs[0], moe.ErrClosed, "run")
	expectError(t, errs[1], moe.ErrClosed, "run")
	ok(t, errs[2])
}

func TestRequestStopFromAnotherGoroutine(t *testing.T) {
	run := must(moe.OpenRun(tinyScenes(t, "train.epochs", "1000"), filepath.Join(t.TempDir(), "run"), moe.RunOptions{}))
	defer run.Close()
	time.AfterFunc(100*time.Millisecond, func() { run.RequestStop() })
	for _, err := range run.Events(context.Background()) {
		if err != nil {
			expectError(t, err, moe.ErrCancelled, "stopped at step")
			return
		}
	}
	t.Fatal("expected the run to stop")
}
