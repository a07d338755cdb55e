package moe_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.org/moe"
)

func TestCheckData(t *testing.T) {
	config := tinyScenes(t)
	picture := must(filepath.Glob(filepath.Join(must(config.Get("data.root")), "image", "*")))[0]
	report := must(moe.CheckData(config, "", nil))
	if report.Pictures != 12 || report.Objects == 0 || report.Problems != 0 {
		t.Fatalf("expected 12 pictures without a problem, got %+v", report)
	}

	ok(t, os.Truncate(picture, 10))
	var warnings []string
	list := filepath.Join(t.TempDir(), "exclude.txt")
	report = must(moe.CheckData(config, list, func(level slog.Level, line string) {
		if level == slog.LevelWarn {
			warnings = append(warnings, line)
		}
	}))
	excluded := string(must(os.ReadFile(list)))
	if report.Problems == 0 || report.Excluded != 1 || len(warnings) == 0 || !strings.Contains(excluded, filepath.Base(picture)) {
		t.Fatalf("expected one picture to be left out, got %+v, %q, %q", report, warnings, excluded)
	}
	_, err := moe.CheckData(config, "", func(slog.Level, string) { panic("no more") })
	expectPanic(t, err, "no more")
}

const annotations = `{"images": [{"id": 1, "width": 100, "height": 100, "file_name": "a.png"}],
 "categories": [{"id": 1, "name": "car"}],
 "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 50, 50], "area": 2500, "iscrowd": 0}]}`

const detections = `[{"image_id": 1, "category_id": 1, "bbox": [10, 10, 50, 50], "score": 0.9}]`

func TestEvaluateCOCO(t *testing.T) {
	folder := t.TempDir()
	truth, found := filepath.Join(folder, "truth.json"), filepath.Join(folder, "found.json")
	ok(t, os.WriteFile(truth, []byte(annotations), 0o644))
	ok(t, os.WriteFile(found, []byte(detections), 0o644))
	metrics := must(moe.EvaluateCOCO(truth, found, nil))
	if metrics[0].Name != "AP" || metrics[0].Value < 0.999 {
		t.Fatalf("expected an AP of 1, got %v", metrics[0])
	}
	_, err := moe.EvaluateCOCO(truth, filepath.Join(folder, "none.json"), nil)
	expectError(t, err, moe.ErrNotFound, "none.json")
}

func TestExport(t *testing.T) {
	session, folder := tinySession(t), t.TempDir()
	ok(t, session.Export("own", filepath.Join(folder, "weights.safetensors")))
	if info := must(os.Stat(filepath.Join(folder, "weights.safetensors"))); info.Size() < 1000 {
		t.Fatalf("expected weights, got %d bytes", info.Size())
	}
	err := session.Export("own", filepath.Join(folder, "none", "x"))
	if !errors.Is(err, moe.ErrNotFound) && !errors.Is(err, moe.ErrIO) {
		t.Fatalf("expected that there is no such folder, got %v", err)
	}
	expectError(t, session.Export("onnx", "x"), moe.ErrInvalidArgument, "onnx")
}
