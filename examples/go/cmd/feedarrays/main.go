// Command feedarrays has its own data and its own loop: pictures with coloured boxes, made here, go as slices into a session.
// Every step takes a window of two micro-batches; at the end it prints what each expert did, and what the model finds.
//
//	feedarrays [-steps N]
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"

	"example.org/moe"
)

const settings = `
task: rtdetr
data: {classes: [red, green, blue], size: [96, 96]}
model:
  backbone: {width: 0.25}
  hidden: 32
  encoder: {ffn: 64}
  decoder: {layers: 2, ffn: 64}
  denoising: {queries: 20}
  experts: {kind: class_partitioned, groups: by_class, top_k: 2, queries: 20}
optimizer: {lr: 2e-3}
`

func train(session *moe.Session, batch *moe.Batch, steps int, random *rand.Rand) error {
	for range steps {
		for range window {
			if err := newScene(random).fill(batch); err != nil {
				return err
			}
			if err := session.Feed(batch); err != nil {
				return err
			}
		}
		info, err := session.Step(context.Background()) // all or nothing
		if err != nil {
			return err
		}
		fmt.Printf("step %d  loss %.3f  gradient %.3f  %v\n", info.Step, info.Loss, info.GradNorm, info.Duration.Round(1e6))
	}
	return nil
}

func printExperts(session *moe.Session) error {
	stats, err := session.ExpertStats(0, moe.Lifetime)
	if err != nil {
		return err
	}
	fmt.Println("expert    tokens   share  gate")
	for i, expert := range stats {
		name, err := session.ExpertName(0, i)
		if err != nil {
			return err
		}
		bar := strings.Repeat("#", int(40*expert.Share+0.5))
		fmt.Printf("%-8s %7d  %5.1f%%  %.2f  %s\n", name, expert.Tokens, 100*expert.Share, expert.GateMean, bar)
	}
	return nil
}

// show prints the best detection of every picture beside its true boxes.
func show(session *moe.Session, batch *moe.Batch, random *rand.Rand) error {
	truth := newScene(random)
	if err := truth.fill(batch); err != nil {
		return err
	}
	found, err := session.Predict(batch)
	if err != nil {
		return err
	}
	defer found.Close()
	labels, _, err := moe.Read[int64](found, "labels")
	if err != nil {
		return err
	}
	scores, _, err := moe.Read[float32](found, "scores")
	if err != nil {
		return err
	}
	offsets, _, err := moe.Read[int64](found, "offsets")
	for i := range offsets[:max(len(offsets), 1)-1] {
		best, first := offsets[i], truth.offsets[i] // best first
		fmt.Printf("picture %d: true %s and %s; found %s with score %.2f\n", i, classes[truth.labels[first]],
			classes[truth.labels[first+1]], classes[labels[best]], scores[best])
	}
	return err
}

func run(steps int) error {
	runtime.LockOSThread() // one thread computes, with one set of worker threads
	defer runtime.UnlockOSThread()
	config, err := moe.ParseConfig(settings, "")
	if err != nil {
		return err
	}
	defer config.Close()
	session, err := moe.NewSession(config, moe.SessionOptions{})
	if err != nil {
		return err
	}
	defer session.Close()
	batch, err := moe.NewBatch()
	if err != nil {
		return err
	}
	defer batch.Close()
	random := rand.New(rand.NewPCG(1, 1))
	if err := train(session, batch, steps, random); err != nil {
		return err
	}
	if err := printExperts(session); err != nil {
		return err
	}
	return show(session, batch, random)
}

func main() {
	steps := flag.Int("steps", 150, "optimizer steps")
	flag.Parse()
	if err := run(*steps); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
