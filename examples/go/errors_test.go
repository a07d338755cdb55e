package moe_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.org/moe"
)

func TestErrorHasStatusTextAndPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yml")
	ok(t, os.WriteFile(path, []byte("task: rtdetr\noptimizer:\n  lr: fast\n"), 0o644))
	_, err := moe.LoadConfig(path)
	expectError(t, err, moe.ErrConfig, `got "fast"`)
	var detail *moe.Error
	if !errors.As(err, &detail) || detail.Status != moe.ErrConfig || detail.Line != 3 || detail.Column != 7 {
		t.Fatalf("expected line 3, column 7 of a *moe.Error, got %+v", detail)
	}
	if errors.Is(err, moe.ErrShape) || errors.Is(err, moe.ErrClosed) {
		t.Fatalf("%v is an error of its own status alone", err)
	}
	_, err = moe.LoadConfig("nowhere.yml")
	expectError(t, err, moe.ErrNotFound, "nowhere.yml")
}

func TestStatusNames(t *testing.T) {
	if name := moe.ErrShape.Error(); name != "MOE_ERR_SHAPE" {
		t.Fatalf("expected MOE_ERR_SHAPE, got %s", name)
	}
	if name := moe.Status(999).Error(); name != "unknown status" {
		t.Fatalf("expected unknown status, got %s", name)
	}
}

func TestTextWithNUL(t *testing.T) {
	config := tinyConfig(t)
	expectError(t, config.Set("optimizer.lr\x00.x", "1"), moe.ErrInvalidArgument, `optimizer.lr\x00.x`)
	_, err := config.Get("optimizer.lr") // the lock was given back
	ok(t, err)
}

// Every method of a closed, a nil and a never opened handle gives ErrClosed.
func TestClosedHandles(t *testing.T) {
	config, batch := must(moe.ParseConfig(tinySettings, "")), must(moe.NewBatch())
	session := must(moe.NewSession(config, moe.SessionOptions{}))
	for _, handle := range []io.Closer{session, batch, config} {
		ok(t, handle.Close())
		ok(t, handle.Close())
	}
	t.Run("closed", func(t *testing.T) { allRefuse(t, config, batch, session, &moe.Loader{}, &moe.Run{}) })
	t.Run("nil", func(t *testing.T) { allRefuse(t, nil, nil, nil, nil, nil) })
	t.Run("zero", func(t *testing.T) {
		allRefuse(t, &moe.Config{}, &moe.Batch{}, &moe.Session{}, &moe.Loader{}, &moe.Run{})
	})
}

func allRefuse(t *testing.T, config *moe.Config, batch *moe.Batch, session *moe.Session, loader *moe.Loader, run *moe.Run) {
	ctx := context.Background()
	calls := map[string]func() error{
		"Config.Clone":          func() error { _, err := config.Clone(); return err },
		"Config.Set":            func() error { return config.Set("seed", "1") },
		"Config.Get":            func() error { _, err := config.Get("seed"); return err },
		"Config.Origin":         func() error { _, err := config.Origin("seed"); return err },
		"Config.Dump":           func() error { _, err := config.Dump(moe.DumpValues); return err },
		"CheckData":             func() error { _, err := moe.CheckData(config, "", nil); return err },
		"NewLoader":             func() error { _, err := moe.NewLoader(config, "train"); return err },
		"NewFileLoader":         func() error { _, err := moe.NewFileLoader(config, []string{"a.png"}); return err },
		"NewSession":            func() error { _, err := moe.NewSession(config, moe.SessionOptions{}); return err },
		"Batch.Set":             func() error { return batch.Set("x", moe.View([]int64{1}, 1)) },
		"Batch.Len":             func() error { _, err := batch.Len(); return err },
		"Batch.Tensors":         func() error { _, err := batch.Tensors(); return err },
		"Batch.Info":            func() error { _, err := batch.Info("x"); return err },
		"Batch.Clear":           func() error { return batch.Clear() },
		"Read":                  func() error { _, _, err := moe.Read[int64](batch, "x"); return err },
		"Loader.Next":           func() error { return loader.Next(batch) },
		"Loader.SetLog":         func() error { return loader.SetLog(func(slog.Level, string) {}) },
		"Loader.Size":           func() error { _, _, err := loader.Size(); return err },
		"Loader.FileName":       func() error { _, err := loader.FileName(1); return err },
		"Loader.Broken":         func() error { _, err := loader.Broken(); return err },
		"Loader.Epoch":          func() error { return firstError(loader.Epoch()) },
		"Session.Config":        func() error { _, err := session.Config(); return err },
		"Session.DescribeBatch": func() error { _, err := session.DescribeBatch(); return err },
		"Session.Feed":          func() error { return session.Feed(batch) },
		"Session.Step":          func() error { _, err := session.Step(ctx); return err },
		"Session.Discard":       func() error { return session.Discard() },
		"Session.Predict":       func() error { _, err := session.Predict(batch); return err },
		"Session.Evaluate":      func() error { _, err := session.Evaluate(ctx, loader); return err },
		"Session.Draw":          func() error { return session.Draw(batch, batch, 0, 0, "a.png") },
		"Session.Export":        func() error { return session.Export("own", "a") },
		"Session.Save":          func() error { return session.Save("a") },
		"Session.Load":          func() error { return session.Load("a") },
		"Session.Get":           func() error { _, err := session.Get("state.step"); return err },
		"Session.Set":           func() error { return session.Set("state.epoch", "1") },
		"Session.RequestStop":   func() error { return session.RequestStop() },
		"Session.LayerCount":    func() error { _, err := session.LayerCount(); return err },
		"Session.LayerInfo":     func() error { _, err := session.LayerInfo(0); return err },
		"Session.ExpertName":    func() error { _, err := session.ExpertName(0, 0); return err },
		"Session.ExpertStats":   func() error { _, err := session.ExpertStats(0, moe.LastStep); return err },
		"Session.LayerStat":     func() error { _, err := session.LayerStat(0, moe.LastStep); return err },
		"Session.ClassRouting":  func() error { _, err := session.ClassRouting(0, moe.LastStep); return err },
		"Session.Coactivation":  func() error { _, err := session.Coactivation(0, moe.LastStep); return err },
		"Session.ResetStats":    func() error { return session.ResetStats() },
		"Run.Next":              func() error { _, err := run.Next(ctx); return err },
		"Run.Events":            func() error { return firstError(run.Events(ctx)) },
		"Run.RequestStop":       func() error { return run.RequestStop() },
		"Run.Session":           func() error { _, err := run.Session(); return err },
	}
	for name, refused := range calls {
		if err := refused(); !errors.Is(err, moe.ErrClosed) || !errors.Is(err, moe.ErrState) {
			t.Errorf("%s: expected ErrClosed, got %v", name, err)
		}
	}
	for _, handle := range []io.Closer{config, batch, loader, session, run} {
		if err := handle.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func firstError[T any](sequence func(func(T, error) bool)) (first error) {
	for _, err := range sequence {
		if first = err; err != nil {
			break
		}
	}
	return first
}

func TestBuildInfoIsJSON(t *testing.T) {
	var info struct {
		Version string
		ABI     int
		Tasks   []string
	}
	ok(t, json.Unmarshal([]byte(must(moe.BuildInfo())), &info))
	if info.Version != moe.Version() || len(info.Tasks) == 0 {
		t.Fatalf("unexpected build info: %+v", info)
	}
	ok(t, moe.SetThreads(2))
	expectError(t, moe.SetThreads(0), moe.ErrInvalidArgument, "threads")
}

func TestConfig(t *testing.T) {
	config := tinyConfig(t, "train.epochs", "7")
	if value := must(config.Get("train.epochs")); value != "7" {
		t.Fatalf("expected 7, got %s", value)
	}
	if origin := must(config.Origin("train.epochs")); origin != "override" {
		t.Fatalf("expected override, got %s", origin)
	}
	copied := must(must(config.Clone()).Dump(moe.DumpValues))
	if again := must(must(moe.ParseConfig(copied, "copy.yml")).Dump(moe.DumpValues)); again != copied {
		t.Fatal("the dumped settings do not load back to the same")
	}
	if !strings.Contains(must(config.Dump(moe.DumpOrigins)), "# default") {
		t.Fatal("expected origins in the dump")
	}
	if page := must(moe.DescribeSettings("rtdetr")); !strings.Contains(page, "model.experts.top_k") {
		t.Fatal("expected model.experts.top_k on the reference page")
	}
	must(moe.DescribeSettings(""))
	expectError(t, config.Set("train.epoch", "3"), moe.ErrConfig, "train.epochs")
}
