package moe_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.org/moe"
)

func feedAndStep(t *testing.T, session *moe.Session, batches ...*moe.Batch) moe.StepInfo {
	t.Helper()
	for _, batch := range batches {
		ok(t, session.Feed(batch))
	}
	return must(session.Step(context.Background()))
}

func TestStepsLowerTheLoss(t *testing.T) {
	session, batch := tinySession(t), tinyBatch(t, 1)
	first := feedAndStep(t, session, batch, tinyBatch(t, 2))
	if first.Step != 1 || first.MicroBatches != 2 || first.Samples != 4 || first.LR <= 0 || first.Duration <= 0 {
		t.Fatalf("unexpected step: %+v", first)
	}
	sum := 0.0
	for _, term := range first.Terms {
		sum += term.Value
	}
	if len(first.Terms) < 3 || math.Abs(sum-first.Loss) > 1e-6*first.Loss {
		t.Fatalf("expected terms that add up to %v, got %v", first.Loss, first.Terms)
	}
	var last moe.StepInfo
	for range 30 {
		last = feedAndStep(t, session, batch)
	}
	if last.Loss > 0.8*first.Loss {
		t.Fatalf("expected a lower loss than %v after 30 steps on one batch, got %v", first.Loss, last.Loss)
	}
}

func TestExperts(t *testing.T) {
	session := tinySession(t)
	feedAndStep(t, session, tinyBatch(t, 1))
	if count := must(session.LayerCount()); count != 1 {
		t.Fatalf("expected one mixture layer, got %d", count)
	}
	layer := must(session.LayerInfo(0))
	if layer.Experts != 3 || layer.TopK != 2 || layer.Unit != "image" || layer.Name == "" || layer.Kind != "class_partitioned" {
		t.Fatalf("unexpected layer: %+v", layer)
	}
	total, share := int64(0), 0.0
	stats := must(session.ExpertStats(0, moe.LastStep))
	for _, expert := range stats {
		total += expert.Tokens
		share += expert.Share
	}
	all := must(session.LayerStat(0, moe.LastStep))
	if len(stats) != 3 || all.Tokens != 2 || total != all.Assignments || math.Abs(share-1) > 1e-12 {
		t.Fatalf("the experts %+v do not add up to the layer %+v", stats, all)
	}
	if all.DominantShare < 1.0/3 || all.Confidence <= 0 || all.Gini < 0 {
		t.Fatalf("unexpected layer numbers: %+v", all)
	}
	together := must(session.Coactivation(0, moe.LastStep))
	for e, expert := range stats {
		if together[e*3+e] != expert.Tokens {
			t.Fatalf("expected the experts' own tokens on the diagonal of %v, got %v", together, stats)
		}
	}
	if layer.Classes != 6 || len(must(session.ClassRouting(0, moe.LastStep))) != 18 {
		t.Fatal("expected a table of 6 classes x 3 experts")
	}
	if name := must(session.ExpertName(0, 0)); name == "" {
		t.Fatal("expected a name")
	}
	ok(t, session.ResetStats())
	if must(session.LayerStat(0, moe.SinceReset)).Tokens != 0 || must(session.LayerStat(0, moe.Lifetime)).Tokens != 2 {
		t.Fatal("expected the reset to empty its own window alone")
	}
	_, err := session.ExpertStats(1, moe.LastStep)
	expectError(t, err, moe.ErrInvalidArgument, "layer")
	_, err = session.LayerInfo(1 << 32) // in 32 bits it would be layer 0
	expectError(t, err, moe.ErrInvalidArgument, "layer")
	_, err = session.ExpertStats(0, moe.Window(9))
	expectError(t, err, moe.ErrInvalidArgument, "window")
}

func TestSaveLoadAndOpen(t *testing.T) {
	session, path := tinySession(t), filepath.Join(t.TempDir(), "a.safetensors")
	feedAndStep(t, session, tinyBatch(t, 1))
	ok(t, session.Save(path))
	digest := must(session.Get("state.digest"))
	feedAndStep(t, session, tinyBatch(t, 2))
	if must(session.Get("state.digest")) == digest {
		t.Fatal("expected a step to change the digest")
	}
	ok(t, session.Load(path))
	opened := must(moe.OpenSession(path, moe.SessionOptions{}))
	defer opened.Close()
	for _, s := range []*moe.Session{session, opened} {
		if got := must(s.Get("state.digest")); got != digest {
			t.Fatalf("expected digest %s, got %s", digest, got)
		}
	}
	if must(must(opened.Config()).Get("seed")) != "7" {
		t.Fatal("expected the settings of the checkpoint")
	}
	ok(t, session.Set("state.epoch", "3"))
	if must(session.Get("state.epoch")) != "3" {
		t.Fatal("expected epoch 3")
	}
	_, err := moe.OpenSession("nowhere.safetensors", moe.SessionOptions{})
	expectError(t, err, moe.ErrNotFound, "nowhere.safetensors")
}

func TestPredictAndDraw(t *testing.T) {
	session, batch := tinySession(t), tinyBatch(t, 1)
	result := must(session.Predict(batch))
	defer result.Close()
	boxes, shape, err := moe.Read[float32](result, "boxes")
	ok(t, err)
	offsets, _, err := moe.Read[int64](result, "offsets")
	ok(t, err)
	if len(offsets) != 3 || shape[1] != 4 || offsets[2] != shape[0] || len(boxes) != int(4*shape[0]) {
		t.Fatalf("unexpected results: boxes %v, offsets %v", shape, offsets)
	}
	picture := filepath.Join(t.TempDir(), "a.png")
	ok(t, session.Draw(batch, result, 1, 0.5, picture))
	if content, err := os.ReadFile(picture); err != nil || !strings.HasPrefix(string(content), "\x89PNG") {
		t.Fatalf("expected a PNG file, got %d bytes, %v", len(content), err)
	}
	if !strings.Contains(must(session.DescribeBatch()), "offsets") {
		t.Fatal("expected a line on offsets")
	}
}

func TestFailedStepChangesNothing(t *testing.T) {
	session, batch := tinySession(t), tinyBatch(t, 1)
	_, err := session.Step(context.Background())
	expectError(t, err, moe.ErrState, "step")
	images, shape, err := moe.Read[float32](batch, "images")
	ok(t, err)
	images[5] = float32(math.NaN())
	bad := tinyBatch(t, 1)
	ok(t, bad.Set("images", moe.View(images, shape...)))
	expectError(t, session.Feed(bad), moe.ErrNumeric, "images")
	ok(t, session.Feed(batch))
	ok(t, session.Discard())
	_, err = session.Step(context.Background())
	expectError(t, err, moe.ErrState, "step")
}

func TestContextStopsAStep(t *testing.T) {
	session, batch := tinySession(t), tinyBatch(t, 1)
	digest := must(session.Get("state.digest"))
	over, cancel := context.WithCancel(context.Background())
	cancel()
	ok(t, session.Feed(batch))
	_, err := session.Step(over)
	expectError(t, err, moe.ErrCancelled, "step")
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("expected context.Canceled in %v", err)
	}

	for range 200 {
		ok(t, session.Feed(batch))
	}
	soon, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err = session.Step(soon)
	expectError(t, err, moe.ErrCancelled, "of 200")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("expected context.DeadlineExceeded in %v", err)
	}
	if got := must(session.Get("state.digest")); got != digest {
		t.Fatal("a stopped step changed the session")
	}
	feedAndStep(t, session, batch)
}
