// Drift: the package against the text of moe.h. Types and signatures are compared by the compiler, through cgo; these tests find
// what the compiler cannot: functions, constants and fields that the package has forgotten, and sizes that are stale.
package moe

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Functions that the package leaves out, and why.
var unusedFunctions = map[string]string{
	"moe_batch_bind_dlpack":   "Go's memory may not be kept by C after a call",
	"moe_batch_export_dlpack": "Go has no consumer of DLPack; Read copies",
}

// Constants that are not Go's affair.
var unusedConstants = map[string]string{
	"MOE_DEVICE_CPU":  "slices lie in the host's memory",
	"MOE_DEVICE_CUDA": "slices lie in the host's memory",
	"MOE_MAX_DIMS":    "the library checks it",
	"MOE_LOG_ERROR":   "every other level",
}

// Fields that need no Go code.
var unusedFields = map[string]string{
	"reserved":     "0",
	"device_type":  "0 is the host",
	"device_index": "0 is the host",
	"byte_offset":  "a slice of the slice does it",
}

// The Go struct of every C struct; moe_tensor_view has none, because a Tensor is more than it.
var goStructs = map[string]reflect.Type{
	"moe_error_info":       reflect.TypeFor[Error](),
	"moe_tensor_info":      reflect.TypeFor[TensorInfo](),
	"moe_generate_options": reflect.TypeFor[GenerateOptions](),
	"moe_data_report":      reflect.TypeFor[DataReport](),
	"moe_session_options":  reflect.TypeFor[SessionOptions](),
	"moe_step_info":        reflect.TypeFor[StepInfo](),
	"moe_metric":           reflect.TypeFor[Metric](),
	"moe_layer_info":       reflect.TypeFor[LayerInfo](),
	"moe_expert_stat":      reflect.TypeFor[ExpertStat](),
	"moe_layer_stat":       reflect.TypeFor[LayerStat](),
	"moe_run_options":      reflect.TypeFor[RunOptions](),
	"moe_run_event":        reflect.TypeFor[RunEvent](),
}

// Fields whose Go name is not the C name in another spelling; "" for what Go needs no field for.
var renamed = map[string]string{
	"struct_size": "", "reserved": "", "log_user": "", "loss_count": "", "ndim": "",
	"log_fn": "Log", "seconds": "Duration", "loss_name": "Terms", "loss_value": "Terms",
	"load_seconds": "LoadTime", "step_seconds": "StepTime", "seconds_left": "TimeLeft",
}

var (
	comment   = regexp.MustCompile(`(?s)/\*.*?\*/`)
	function  = regexp.MustCompile(`MOE_API\s[^;(]*?\b(moe_\w+)\(`)
	enumBlock = regexp.MustCompile(`(?s)enum\s*\{(.*?)\}`)
	constant  = regexp.MustCompile(`\b(MOE_\w+)\s*=`)
	structure = regexp.MustCompile(`(?s)typedef struct (moe_\w+) \{(.*?)\n\} moe_\w+;`)
	number    = regexp.MustCompile(`\d+`)
	field     = regexp.MustCompile(`^(?:const )?(\w+)[ *]+(?:const )?\*?(\w+)((?:\[\w+\])*)$`)
)

func headerText(t *testing.T) string {
	t.Helper()
	flags, err := exec.Command("pkg-config", "--variable=includedir", "moe").Output()
	if err != nil {
		t.Fatalf("pkg-config: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(flags)), "moe.h"))
	if err != nil {
		t.Fatal(err)
	}
	return comment.ReplaceAllString(string(text), "")
}

// sourceText is all Go and C of the package, without its tests.
func sourceText(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"*.go", "*.c", "*.h"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
	}
	return all.String()
}

// What the source uses of C: functions and constants, and names of fields after a C struct or as keys of its literal.
var (
	functionUse = regexp.MustCompile(`(?:C\.|return |  )(moe_\w+)\(`)
	constantUse = regexp.MustCompile(`C\.(MOE_\w+)`)
	fieldUse    = regexp.MustCompile(`(?:\b(?:c|o|info|view)|\])\.(\w+)|\b(\w+):`)
)

func uses(use *regexp.Regexp, source string) map[string]bool {
	found := map[string]bool{}
	for _, match := range use.FindAllStringSubmatch(source, -1) {
		for _, name := range match[1:] {
			found[name] = true
		}
	}
	return found
}

func expectUse(t *testing.T, name string, used map[string]bool, unused map[string]string) {
	t.Helper()
	if _, listed := unused[name]; used[name] == listed {
		t.Errorf("%s: used %v, listed as unused %v", name, used[name], listed)
	}
}

func TestEveryFunctionAndConstantIsUsed(t *testing.T) {
	header, source := headerText(t), sourceText(t)
	functions := function.FindAllStringSubmatch(header, -1)
	if len(functions) < 60 {
		t.Fatalf("expected to find the functions of moe.h, got %d", len(functions))
	}
	used := uses(functionUse, source)
	for _, match := range functions {
		expectUse(t, match[1], used, unusedFunctions)
	}
	used = uses(constantUse, source)
	for _, block := range enumBlock.FindAllStringSubmatch(header, -1) {
		for _, match := range constant.FindAllStringSubmatch(block[1], -1) {
			expectUse(t, match[1], used, unusedConstants)
		}
	}
}

func TestEveryFieldIsUsedAndEverySizeFits(t *testing.T) {
	header, used := headerText(t), uses(fieldUse, sourceText(t))
	structs := structure.FindAllStringSubmatch(header, -1)
	if len(structs) != len(structSizes) {
		t.Errorf("moe.h has %d structs, the package knows %d", len(structs), len(structSizes))
	}
	for _, match := range structs {
		if size := checkFields(t, match[1], match[2], used); size != structSizes[match[1]] {
			t.Errorf("%s: %d bytes by moe.h, %d as this package was compiled: clean Go's build cache", match[1], size, structSizes[match[1]])
		}
	}
}

// checkFields gives the size of the struct by the rules of C.
func checkFields(t *testing.T, name, body string, used map[string]bool) int {
	t.Helper()
	size, align := 0, 1
	for _, line := range strings.Split(body, ";") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		parts := field.FindStringSubmatch(line)
		if parts == nil {
			t.Fatalf("%s: cannot read the field %q", name, line)
		}
		fieldAlign, fieldSize := layout(t, line, parts)
		align = max(align, fieldAlign)
		size = (size+fieldAlign-1)/fieldAlign*fieldAlign + fieldSize
		expectUse(t, parts[2], used, unusedFields)
		expectGoField(t, name, parts[2])
	}
	return (size + align - 1) / align * align
}

func expectGoField(t *testing.T, structName, cName string) {
	t.Helper()
	goStruct, known := goStructs[structName]
	want, other := renamed[cName]
	if !known || (other && want == "") {
		return
	}
	if !other {
		want = strings.ReplaceAll(cName, "_", "")
	}
	if _, found := goStruct.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, want) }); !found {
		t.Errorf("%s.%s: %v has no such field", structName, cName, goStruct)
	}
}

var baseSizes = map[string]int{"int32_t": 4, "uint32_t": 4, "moe_status": 4, "moe_dtype": 4, "int64_t": 8, "uint64_t": 8,
	"double": 8, "char": 1, "moe_log_fn": 8, "void": 0}

func layout(t *testing.T, line string, parts []string) (align, size int) {
	if strings.Contains(line, "*") {
		return 8, 8
	}
	align, known := baseSizes[parts[1]]
	if !known || align == 0 {
		t.Fatalf("unknown type in the field %q", line)
	}
	size = align
	for _, length := range number.FindAllString(parts[3], -1) {
		n, _ := strconv.Atoi(length)
		size *= n
	}
	return align, size
}
