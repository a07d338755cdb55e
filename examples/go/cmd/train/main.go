// Command train is a whole training in a folder, from a settings file. Run again, it resumes. The first Ctrl-C finishes the step
// and writes a checkpoint (exit code 130), a second one ends the program at once.
//
//	train CONFIG FOLDER [KEY=VALUE ...]
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"example.org/moe"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: train CONFIG FOLDER [KEY=VALUE ...]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from then on a signal ends the program
	err := train(ctx, os.Args[1], os.Args[2], os.Args[3:])
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	if errors.Is(err, moe.ErrCancelled) {
		os.Exit(130)
	}
	os.Exit(1)
}

func train(ctx context.Context, path, folder string, overrides []string) error {
	config, err := settings(path, overrides)
	if err != nil {
		return err
	}
	defer config.Close()
	run, err := moe.OpenRun(config, folder, moe.RunOptions{Log: note})
	if err != nil {
		return err
	}
	defer run.Close()
	for event, err := range run.Events(ctx) {
		if err != nil {
			return err
		}
		show(event)
	}
	return printDigest(run)
}

func settings(path string, overrides []string) (*moe.Config, error) {
	config, err := moe.LoadConfig(path)
	if err != nil {
		return nil, err
	}
	for _, override := range overrides {
		key, value, found := strings.Cut(override, "=")
		if !found {
			return nil, fmt.Errorf("expected KEY=VALUE, got %q", override)
		}
		if err := config.Set(key, value); err != nil {
			return nil, err
		}
	}
	return config, nil
}

func note(level slog.Level, line string) {
	if level >= slog.LevelWarn {
		fmt.Fprintln(os.Stderr, line)
	}
}

// show prints the event's line behind the share of the training that is done.
func show(event moe.RunEvent) {
	done := 100.0
	if event.Steps > 0 {
		done = 100 * float64(event.Step) / float64(event.Steps)
	}
	fmt.Printf("%3.0f%%  %s\n", done, event.Text)
}

// printDigest tells the 64 bits over weights, optimizer and counters: the same for the same settings in every language.
func printDigest(run *moe.Run) error {
	session, err := run.Session()
	if err != nil {
		return err
	}
	digest, err := session.Get("state.digest")
	if err == nil {
		fmt.Println("digest", digest)
	}
	return err
}
