// What the tests of the package share: a tiny model, batches for it, and checks of errors.
package moe_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.org/moe"
)

// Three experts (vehicles, people, two-wheelers) over the six classes of roadside scenes.
const tinySettings = `
task: rtdetr
seed: 7
data: {size: [64, 64], workers: 1, augment: {flip: 0}}
model:
  backbone: {width: 0.125}
  hidden: 32
  heads: 4
  encoder: {ffn: 64}
  decoder: {layers: 2, ffn: 64}
  denoising: {queries: 8}
  experts: {kind: class_partitioned, groups: by_complexity, top_k: 2, queries: 12}
optimizer: {lr: 3e-3}
train: {batch_size: 2, epochs: 2, log_every: 1, clip_norm: 1}
`

// A copy of the test program that TestMain turns into a program of its own; see library_test.go.
const childVariable = "MOE_GO_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		_, err := moe.LoadConfig("nowhere.yml")
		fmt.Println(err, errors.Is(err, moe.ErrVersion))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// must gives the value of a call that has to succeed: must(t)(moe.NewBatch()) does not type-check, hence the two forms.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// expectError wants an error that errors.Is finds `want` in, with one line of text that holds `part`.
func expectError(t *testing.T, err, want error, part string) {
	t.Helper()
	if !errors.Is(err, want) || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("expected %v with %q in one line, got: %v", want, part, err)
	}
}

func tinyConfig(t *testing.T, overrides ...string) *moe.Config {
	t.Helper()
	config := must(moe.ParseConfig(tinySettings, ""))
	t.Cleanup(func() { config.Close() })
	for i := 0; i < len(overrides); i += 2 {
		ok(t, config.Set(overrides[i], overrides[i+1]))
	}
	return config
}

func tinySession(t *testing.T) *moe.Session {
	t.Helper()
	session := must(moe.NewSession(tinyConfig(t), moe.SessionOptions{}))
	t.Cleanup(func() { session.Close() })
	return session
}

// tinyBatch is two images with three boxes: a car and a person, a bicycle.
func tinyBatch(t *testing.T, seed int) *moe.Batch {
	t.Helper()
	images := make([]float32, 2*3*64*64)
	for i := range images {
		images[i] = float32((i*(seed+3))%97) / 97
	}
	batch := must(moe.NewBatch())
	t.Cleanup(func() { batch.Close() })
	ok(t, batch.Set("images", moe.View(images, 2, 3, 64, 64)))
	ok(t, batch.Set("boxes", moe.View([]float32{.3, .3, .2, .3, .6, .6, .3, .2, .5, .5, .4, .4}, 3, 4)))
	ok(t, batch.Set("labels", moe.View([]int64{0, 3, 4}, 3)))
	ok(t, batch.Set("offsets", moe.View([]int64{0, 2, 3}, 3)))
	return batch
}

// tinyScenes generates a data set and gives a config that reads it.
func tinyScenes(t *testing.T, overrides ...string) *moe.Config {
	t.Helper()
	root := filepath.Join(t.TempDir(), "scenes")
	options := moe.DefaultGenerateOptions()
	options.TrainImages, options.ValImages, options.Width, options.Height = 8, 4, 160, 96
	ok(t, moe.GenerateData("traffic", root, options))
	return tinyConfig(t, append([]string{"data.root", root}, overrides...)...)
}
