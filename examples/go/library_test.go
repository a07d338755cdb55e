// The library that is loaded is not the one that the program was built with: another binary interface, an older version, none.
package moe_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A library of another time: it lacks the functions that moe.h got last.
const otherLibrary = `
int moe_abi_version(void) { return %d; }
int moe_version(void) { return %d; }
const char *moe_status_name(int status) { return "MOE_ERR_OTHER"; }
int moe_config_load(const char *path, void **out) { __builtin_trap(); }
`

func compileOther(t *testing.T, abi, version int) (folder string) {
	t.Helper()
	folder = t.TempDir()
	source, versions := filepath.Join(folder, "other.c"), filepath.Join(folder, "other.map")
	ok(t, os.WriteFile(source, fmt.Appendf(nil, otherLibrary, abi, version), 0o644))
	ok(t, os.WriteFile(versions, []byte("MOE_0 { global: moe_*; local: *; };\n"), 0o644))
	compiler := "cc"
	if named := os.Getenv("CC"); named != "" {
		compiler = named
	}
	command := exec.Command(compiler, "-shared", "-fPIC", "-w", source, "-Wl,-soname,libmoe.so.0", "-Wl,--version-script="+versions,
		"-o", filepath.Join(folder, "libmoe.so.0"))
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return folder
}

// loadWith runs this test program again, as TestMain's child, with another library in place of libmoe.so.0.
func loadWith(t *testing.T, folder string) string {
	t.Helper()
	command := exec.Command(must(os.Executable()))
	command.Env = append(os.Environ(), childVariable+"=1", "LD_PRELOAD="+filepath.Join(folder, "libmoe.so.0"))
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("expected an error value and exit code 0, got %v: %s", err, output)
	}
	return string(output)
}

func TestOtherLibrary(t *testing.T) {
	for want, folder := range map[string]string{
		"libmoe.so: expected binary interface 0 (moe.h), got 1":            compileOther(t, 1, 100),
		"libmoe.so: expected version 100 (moe.h) or later, got 99: build ": compileOther(t, 0, 99),
	} {
		output := loadWith(t, folder)
		if !strings.HasPrefix(output, want) || strings.Count(output, "\n") != 1 || !strings.HasSuffix(output, " true\n") {
			t.Errorf("expected one line with %q that errors.Is finds ErrVersion in, got %s", want, output)
		}
	}
}

// otherBuild is an environment for a build with another moe.pc. Go's build cache knows nothing of moe.pc: a flag tells it apart.
func otherBuild(t *testing.T, variables ...string) []string {
	return append(os.Environ(), append(variables, "CGO_CFLAGS="+os.Getenv("CGO_CFLAGS")+" -DMOE_GO_"+t.Name())...)
}

// withoutRunPath is an environment whose moe.pc does not tell the program where the library lies.
func withoutRunPath(t *testing.T) []string {
	t.Helper()
	folder := t.TempDir()
	variable := func(name string) string {
		output, err := exec.Command("pkg-config", "--variable="+name, "moe").Output()
		ok(t, err)
		return strings.TrimSpace(string(output))
	}
	text := fmt.Sprintf("Name: moe\nDescription: moe\nVersion: 0\nLibs: -L%s -lmoe\nCflags: -I%s\n", variable("libdir"), variable("includedir"))
	ok(t, os.WriteFile(filepath.Join(folder, "moe.pc"), []byte(text), 0o644))
	return otherBuild(t, "PKG_CONFIG_PATH="+folder)
}

func TestMissingLibrary(t *testing.T) {
	program := filepath.Join(t.TempDir(), "train")
	build := exec.Command("go", "build", "-o", program, "./cmd/train")
	build.Env = withoutRunPath(t)
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	start := exec.Command(program, "a", "b")
	start.Env = append(os.Environ(), "LD_LIBRARY_PATH=", "LD_PRELOAD=")
	output, err := start.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 127 || !strings.Contains(string(output), "libmoe.so.0") {
		t.Fatalf("expected the loader to name libmoe.so.0 and exit code 127, got %v: %s", err, output)
	}
}

func TestBuildWithoutPackageConfig(t *testing.T) {
	build := exec.Command("go", "build", "-o", os.DevNull, "./cmd/train")
	build.Env = otherBuild(t, "PKG_CONFIG_PATH=", "PKG_CONFIG_LIBDIR="+t.TempDir())
	output, err := build.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "moe.pc") {
		t.Fatalf("expected the build to miss moe.pc, got %v: %s", err, output)
	}
}
