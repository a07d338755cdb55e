// The programs under cmd, as a user calls them.
package moe_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"example.org/moe"
)

func buildProgram(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if output, err := exec.Command("go", "build", "-o", path, "./cmd/"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return path
}

func expectExit(t *testing.T, err error, code int) {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code {
		t.Fatalf("expected exit code %d, got %v", code, err)
	}
}

func writeSettings(t *testing.T) string {
	t.Helper()
	config := tinyScenes(t)
	path := filepath.Join(t.TempDir(), "tiny.yml")
	ok(t, os.WriteFile(path, []byte(must(config.Dump(moe.DumpValues))), 0o644))
	return path
}

func TestTrainProgram(t *testing.T) {
	train, settings, folder := buildProgram(t, "train"), writeSettings(t), filepath.Join(t.TempDir(), "run")
	output, err := exec.Command(train, settings, folder, "train.epochs=1").Output()
	ok(t, err)
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	digest := lines[len(lines)-1]
	if !regexp.MustCompile(`^digest [0-9a-f]{16}$`).MatchString(digest) || len(lines) < 5 {
		t.Fatalf("expected events and a digest, got:\n%s", output)
	}
	again, err := exec.Command(train, settings, folder, "train.epochs=1").Output()
	ok(t, err)
	if !strings.HasSuffix(string(again), digest+"\n") {
		t.Fatalf("expected %s of the run that is complete, got:\n%s", digest, again)
	}

	for _, arguments := range [][]string{{settings}, {settings, folder, "epochs"}, {settings, folder, "train.epoch=1"}, {"none.yml", folder}} {
		command := exec.Command(train, arguments...)
		var text strings.Builder
		command.Stderr = &text
		expectExit(t, command.Run(), map[bool]int{true: 2, false: 1}[len(arguments) < 2])
		if strings.Count(text.String(), "\n") != 1 {
			t.Fatalf("%v: expected one line, got %s", arguments, text.String())
		}
	}
}

// Interrupted at its second step, the program writes a checkpoint, exits with 130, and goes on later.
func TestTrainProgramIsInterrupted(t *testing.T) {
	train, settings, folder := buildProgram(t, "train"), writeSettings(t), filepath.Join(t.TempDir(), "run")
	command := exec.Command(train, settings, folder, "train.epochs=1000")
	stdout := must(command.StdoutPipe())
	ok(t, command.Start())
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.Contains(lines.Text(), "step 2/") {
	}
	ok(t, command.Process.Signal(os.Interrupt))
	io.Copy(io.Discard, stdout)
	expectExit(t, command.Wait(), 130)
	if checkpoints := must(filepath.Glob(filepath.Join(folder, "checkpoints", "*.safetensors"))); len(checkpoints) == 0 {
		t.Fatal("expected a checkpoint")
	}
	output, err := exec.Command(train, settings, folder, "train.epochs=2").CombinedOutput()
	ok(t, err)
	if strings.Contains(string(output), "step 1/") || !strings.Contains(string(output), "\ndigest ") {
		t.Fatalf("expected the run to go on where it was, got:\n%s", output)
	}
}

func TestFeedArraysProgram(t *testing.T) {
	output, err := exec.Command(buildProgram(t, "feedarrays"), "-steps", "3").CombinedOutput()
	ok(t, err)
	for _, part := range []string{"step 3  loss ", "expert    tokens", "\nblue ", "picture 3: true "} {
		if !strings.Contains(string(output), part) {
			t.Fatalf("expected %q in the output:\n%s", part, output)
		}
	}
}

// The guide's install line and its program, in a module of its own.
func TestProgramOfTheGuide(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "go.md"))
	if err != nil {
		t.Skip("docs/go.md is not beside this package")
	}
	program := regexp.MustCompile("(?s)```go\n(package main.*?)```").FindSubmatch(guide)
	install := regexp.MustCompile(`(?m)^go (mod edit .*)$`).FindSubmatch(guide)
	if program == nil || install == nil {
		t.Fatal("expected an install line and a program in docs/go.md")
	}
	folder, here := t.TempDir(), must(os.Getwd())
	ok(t, os.WriteFile(filepath.Join(folder, "go.mod"), []byte("module first\n\ngo 1.23\n"), 0o644))
	ok(t, os.WriteFile(filepath.Join(folder, "main.go"), program[1], 0o644))
	edit := strings.Fields(strings.ReplaceAll(string(install[1]), "/path/to/libmoe/examples/go", here))
	for _, arguments := range [][]string{edit, {"build", "-o", "first", "."}} {
		command := exec.Command("go", arguments...)
		command.Dir = folder
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v: %s", arguments, err, output)
		}
	}
}
