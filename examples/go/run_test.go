package moe_test

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.org/moe"
)

func digestOf(t *testing.T, run *moe.Run) string {
	t.Helper()
	return must(must(run.Session()).Get("state.digest"))
}

func finish(t *testing.T, run *moe.Run) (kinds []moe.EventKind) {
	t.Helper()
	for event, err := range run.Events(context.Background()) {
		ok(t, err)
		if event.Text == "" || strings.Contains(event.Text, "\n") {
			t.Fatalf("expected one line for a person, got %q", event.Text)
		}
		kinds = append(kinds, event.Kind)
	}
	return kinds
}

func TestRunFromStartToEnd(t *testing.T) {
	config, folder := tinyScenes(t), filepath.Join(t.TempDir(), "run")
	run := must(moe.OpenRun(config, folder, moe.RunOptions{Mode: moe.RunNew}))
	defer run.Close()
	kinds := finish(t, run)
	for _, kind := range []moe.EventKind{moe.EventStep, moe.EventEpoch, moe.EventEval, moe.EventCheckpoint, moe.EventDone} {
		if !slices.Contains(kinds, kind) {
			t.Errorf("expected an event %v among %v", kind, kinds)
		}
	}
	if _, err := run.Next(context.Background()); err != io.EOF {
		t.Fatalf("expected io.EOF, got %v", err)
	}
	session := must(run.Session())
	if must(session.LayerStat(0, moe.Lifetime)).Tokens != 16 {
		t.Fatal("expected 8 images x 2 epochs")
	}
	ok(t, session.Close()) // does nothing: it belongs to the run
	must(session.Get("state.step"))
	ok(t, run.Close())
	_, err := session.Get("state.step")
	expectError(t, err, moe.ErrClosed, "closed")
	_, err = moe.OpenRun(config, folder, moe.RunOptions{Mode: moe.RunNew})
	expectError(t, err, moe.ErrState, folder)
	_, err = moe.OpenRun(nil, filepath.Join(folder, "none"), moe.RunOptions{Mode: moe.RunResume})
	if !errors.Is(err, moe.ErrState) && !errors.Is(err, moe.ErrNotFound) {
		t.Fatalf("expected that there is nothing to resume, got %v", err)
	}
}

// Stopped by its context after every third event and resumed, a run ends with the bits of one that was left alone.
func TestContextStopsARunThatResumes(t *testing.T) {
	config, parent := tinyScenes(t), t.TempDir()
	whole := must(moe.OpenRun(config, filepath.Join(parent, "whole"), moe.RunOptions{}))
	defer whole.Close()
	finish(t, whole)

	folder, stops := filepath.Join(parent, "stopped"), 0
	for !trainThreeEvents(t, config, folder) {
		if stops++; stops > 20 {
			t.Fatal("the run does not get ahead")
		}
	}
	resumed := must(moe.OpenRun(nil, folder, moe.RunOptions{Mode: moe.RunResume}))
	defer resumed.Close()
	finish(t, resumed)
	if stops == 0 || digestOf(t, resumed) != digestOf(t, whole) {
		t.Fatalf("after %d stops expected digest %s, got %s", stops, digestOf(t, whole), digestOf(t, resumed))
	}
}

// trainThreeEvents tells whether the run was complete before it was stopped.
func trainThreeEvents(t *testing.T, config *moe.Config, folder string) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	run := must(moe.OpenRun(config, folder, moe.RunOptions{}))
	defer run.Close()
	events := 0
	for _, err := range run.Events(ctx) {
		if err != nil {
			expectError(t, err, moe.ErrCancelled, "stopped at step")
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("expected context.Canceled in %v", err)
			}
			return false
		}
		if events++; events == 3 {
			cancel()
		}
	}
	return true
}

func TestRunCanBeLeftInTheMiddle(t *testing.T) {
	run := must(moe.OpenRun(tinyScenes(t), filepath.Join(t.TempDir(), "run"), moe.RunOptions{}))
	defer run.Close()
	for range run.Events(context.Background()) {
		break
	}
	must(run.Next(context.Background()))
	ok(t, run.RequestStop())
	_, err := run.Next(context.Background())
	expectError(t, err, moe.ErrCancelled, "stopped at step")
}

func TestLoader(t *testing.T) {
	config := tinyScenes(t)
	loader := must(moe.NewLoader(config, "train"))
	defer loader.Close()
	samples, batches, err := loader.Size()
	ok(t, err)
	if samples != 8 || batches != 4 {
		t.Fatalf("expected 8 samples in 4 batches, got %d in %d", samples, batches)
	}
	for epoch := range 2 {
		seen := int64(0)
		for batch, err := range loader.Epoch() {
			ok(t, err)
			if shape := must(batch.Info("images")).Shape; !slices.Equal(shape, []int64{2, 3, 64, 64}) {
				t.Fatalf("unexpected images %v", shape)
			}
			seen++
		}
		if seen != batches {
			t.Fatalf("epoch %d: expected %d batches, got %d", epoch, batches, seen)
		}
	}
	if must(loader.Broken()) != 0 {
		t.Fatal("expected no broken samples")
	}
	_, err = moe.NewLoader(config, "tests")
	expectError(t, err, moe.ErrInvalidArgument, "tests")
}

func TestEvaluateAndFiles(t *testing.T) {
	config := tinyScenes(t)
	session := must(moe.NewSession(config, moe.SessionOptions{}))
	defer session.Close()
	loader := must(moe.NewLoader(config, "val"))
	defer loader.Close()
	metrics := must(session.Evaluate(context.Background(), loader))
	if len(metrics) < 2 || metrics[0].Name != "AP" || metrics[1].Name == "" {
		t.Fatalf("unexpected metrics: %v", metrics)
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := session.Evaluate(over, loader)
	expectError(t, err, moe.ErrCancelled, "evaluate")

	pictures := must(filepath.Glob(filepath.Join(must(config.Get("data.root")), "image", "*")))
	files := must(moe.NewFileLoader(config, pictures[:3]))
	defer files.Close()
	batch := must(moe.NewBatch())
	defer batch.Close()
	ok(t, files.Next(batch))
	must(session.Predict(batch)).Close()
	ids, _, err := moe.Read[int64](batch, "image_ids")
	ok(t, err)
	if name := must(files.FileName(ids[0])); filepath.Base(name) != filepath.Base(pictures[0]) {
		t.Fatalf("expected %s, got %s", pictures[0], name)
	}
	_, err = moe.NewFileLoader(config, []string{"a\x00b"})
	expectError(t, err, moe.ErrInvalidArgument, "NUL")
}
