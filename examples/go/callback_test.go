package moe_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"example.org/moe"
)

func TestLogLines(t *testing.T) {
	var lines []string
	loader := must(moe.NewLoader(tinyScenes(t), "train"))
	defer loader.Close()
	ok(t, loader.SetLog(func(level slog.Level, line string) {
		if level == slog.LevelInfo {
			lines = append(lines, line)
		}
	}))
	if len(lines) != 1 || !strings.Contains(lines[0], "8") {
		t.Fatalf("expected one line on what the split holds, got %q", lines)
	}
	ok(t, loader.SetLog(nil))
}

func expectPanic(t *testing.T, err error, value any) {
	t.Helper()
	var failure *moe.PanicError
	if !errors.As(err, &failure) || failure.Value != value || !strings.Contains(string(failure.Stack), "_test.go") {
		t.Fatalf("expected a panic with %v and its place, got %v", value, err)
	}
}

func TestPanicInCallbackIsAnError(t *testing.T) {
	config := tinyScenes(t)
	loader := must(moe.NewLoader(config, "train"))
	defer loader.Close()
	expectPanic(t, loader.SetLog(func(slog.Level, string) { panic("too much") }), "too much")
	must(loader.Broken()) // the panic was told once, the loader goes on

	options := moe.DefaultGenerateOptions()
	options.TrainImages, options.ValImages, options.Width, options.Height = 2, 0, 64, 64
	options.Log = func(slog.Level, string) { panic(errors.ErrUnsupported) }
	err := moe.GenerateData("traffic", filepath.Join(t.TempDir(), "x"), options)
	expectPanic(t, err, errors.ErrUnsupported)
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal("expected the panic's error in the chain")
	}

	folder := filepath.Join(t.TempDir(), "run")
	_, err = moe.OpenRun(config, folder, moe.RunOptions{Log: func(slog.Level, string) { panic(7) }})
	expectPanic(t, err, 7)
	run := must(moe.OpenRun(config, folder, moe.RunOptions{})) // the folder was given back
	defer run.Close()
	must(run.Next(context.Background()))
}

// A nil dereference is a signal that Go turns into a panic, also in a callback from C.
func TestFaultInCallbackIsAnError(t *testing.T) {
	loader := must(moe.NewLoader(tinyScenes(t), "train"))
	defer loader.Close()
	var nothing *moe.StepInfo
	err := loader.SetLog(func(slog.Level, string) { nothing.Step++ })
	var failure *moe.PanicError
	if !errors.As(err, &failure) || !strings.Contains(err.Error(), "nil pointer") {
		t.Fatalf("expected a nil pointer dereference, got %v", err)
	}
}

// Another handle may be used inside a callback, and log itself; the one in use stays out of bounds.
func TestCallbackWithinACallback(t *testing.T) {
	config := tinyScenes(t)
	loader, other := must(moe.NewLoader(config, "train")), must(moe.NewLoader(config, "val"))
	defer loader.Close()
	defer other.Close()
	var inner string
	var otherErr, sizeErr error
	ok(t, loader.SetLog(func(slog.Level, string) {
		otherErr = other.SetLog(func(_ slog.Level, line string) { inner = line })
		_, _, sizeErr = loader.Size()
	}))
	if otherErr != nil || inner == "" {
		t.Fatalf("expected the other loader to work, got %v, %q", otherErr, inner)
	}
	expectError(t, sizeErr, moe.ErrState, "from inside")
}

func TestCallFromACallback(t *testing.T) {
	loader := must(moe.NewLoader(tinyScenes(t), "train"))
	defer loader.Close()
	var sizeErr, closeErr error
	ok(t, loader.SetLog(func(slog.Level, string) {
		_, _, sizeErr = loader.Size()
		closeErr = loader.Close()
	}))
	for _, err := range []error{sizeErr, closeErr} {
		expectError(t, err, moe.ErrState, "from inside")
	}
	_, _, err := loader.Size()
	ok(t, err)
}
