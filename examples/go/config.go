package moe

// #include <moe.h>
import "C"

import "unsafe"

// Config holds the settings of one task. Keys are dotted paths: "optimizer.groups.new.lr".
type Config struct{ h *handle }

func (c *Config) handle() *handle {
	if c == nil {
		return nil
	}
	return c.h
}

func (c *Config) c() *C.moe_config { return (*C.moe_config)(c.h.ptr) }

func newConfig(ptr *C.moe_config, err error) (*Config, error) {
	h, err := newHandle("config", unsafe.Pointer(ptr), func(p unsafe.Pointer) { C.moe_config_free((*C.moe_config)(p)) }, nil, err)
	if err != nil {
		return nil, err
	}
	return &Config{h}, nil
}

// LoadConfig reads a YAML file and everything it inherits from.
func LoadConfig(path string) (*Config, error) {
	var out *C.moe_config
	err := call(func() C.moe_status { return C.moe_config_load(cText(path), &out) })
	return newConfig(out, err)
}

// ParseConfig does the same for text. name stands for the file in messages and is where `base:` paths start; "" means "<memory>"
// and the current folder.
func ParseConfig(text, name string) (*Config, error) {
	var out *C.moe_config
	err := call(func() C.moe_status {
		bytes := append([]byte(text), 0)
		return C.moe_config_parse((*C.char)(unsafe.Pointer(&bytes[0])), C.size_t(len(text)), cTextOrNull(name), &out)
	})
	return newConfig(out, err)
}

// Clone is a deep copy.
func (c *Config) Clone() (*Config, error) {
	var out *C.moe_config
	err := call(func() C.moe_status { return C.moe_config_clone(c.c(), &out) }, c.handle())
	return newConfig(out, err)
}

// Set overrides one key by a YAML scalar or flow list ("1e-4", "[1, 2]"). On an error the config is unchanged.
func (c *Config) Set(key, value string) error {
	return call(func() C.moe_status { return C.moe_config_set(c.c(), cText(key), cText(value)) }, c.handle())
}

// Get gives the value of a key as YAML text.
func (c *Config) Get(key string) (string, error) {
	return readText(func(buffer *C.char, capacity C.size_t, needed *C.size_t) C.moe_status {
		return C.moe_config_get(c.c(), cText(key), buffer, capacity, needed)
	}, c.handle())
}

// Origin tells where the value of a key came from: "default", "file:line:column" or "override".
func (c *Config) Origin(key string) (string, error) {
	return readText(func(buffer *C.char, capacity C.size_t, needed *C.size_t) C.moe_status {
		return C.moe_config_origin(c.c(), cText(key), buffer, capacity, needed)
	}, c.handle())
}

// DumpFlags chooses what [Config.Dump] writes.
type DumpFlags int32

const (
	DumpValues  DumpFlags = C.MOE_DUMP_VALUES  // YAML that loads back to the same settings
	DumpOrigins DumpFlags = C.MOE_DUMP_ORIGINS // the same, each line with a comment naming its origin
)

// Dump gives all settings, defaults included.
func (c *Config) Dump(flags DumpFlags) (string, error) {
	return readText(func(buffer *C.char, capacity C.size_t, needed *C.size_t) C.moe_status {
		return C.moe_config_dump(c.c(), C.int32_t(flags), buffer, capacity, needed)
	}, c.handle())
}

// DescribeSettings gives the reference page of a task's settings in Markdown; "" means the keys that every task shares.
func DescribeSettings(task string) (string, error) {
	return readText(func(buffer *C.char, capacity C.size_t, needed *C.size_t) C.moe_status {
		return C.moe_config_describe(cTextOrNull(task), buffer, capacity, needed)
	})
}

// Close frees the config. Sessions, loaders and runs made from it keep their own copy.
func (c *Config) Close() error { return c.handle().close() }
