// moe_config: the settings of one task.
#include "config/config.h"

#include "buffers.h"
#include "guard.h"
#include "handles.h"
#include "models/task.h"
#include "train/schema.h"

using namespace moe;
using namespace moe::capi;

static void check_task(const std::string& task) {
  std::vector<std::string> names;
  for (const TaskEntry& entry : task_registry()) {
    if (entry.name == task) return;
    names.push_back(entry.name);
  }
  fail(MOE_ERR_NOT_FOUND, "task: expected one of ", join(names, ", "), ", got ", quote(task),
       did_you_mean(task, names));
}

static std::string reference_page(const char* task) {
  if (!task) return schema_markdown(shared_schema(), "Settings of every task");
  check_task(task);
  return schema_markdown(task_schema(task), text("Settings of the task ", task));
}

extern "C" {

moe_status moe_config_load(const char* path, moe_config** out) {
  return guard([&] {
    const std::string file(required_text(path, "path"));
    require(out, "out");
    *out = new moe_config{Config::load(file, task_schema)};
  });
}

moe_status moe_config_parse(const char* yaml, size_t length, const char* name, moe_config** out) {
  return guard([&] {
    require(yaml, "text");
    require(out, "out");
    *out = new moe_config{Config::parse({yaml, length}, name ? name : "<memory>", task_schema)};
  });
}

moe_status moe_config_clone(const moe_config* config, moe_config** out) {
  return guard([&] {
    require(config, "config");
    require(out, "out");
    *out = new moe_config(*config);
  });
}

moe_status moe_config_set(moe_config* config, const char* key, const char* value) {
  return guard([&] {
    require(config, "config");
    const std::string path(required_text(key, "key"));
    require(value, "value");
    config->config.set(path, value);
  });
}

moe_status moe_config_get(const moe_config* config, const char* key, char* buffer, size_t capacity, size_t* needed) {
  return guard([&] {
    require(config, "config");
    write_text(config->config.get(std::string(required_text(key, "key"))), buffer, capacity, needed);
  });
}

moe_status moe_config_origin(const moe_config* config, const char* key, char* buffer, size_t capacity, size_t* needed) {
  return guard([&] {
    require(config, "config");
    write_text(config->config.origin(std::string(required_text(key, "key"))), buffer, capacity, needed);
  });
}

moe_status moe_config_dump(const moe_config* config, int32_t flags, char* buffer, size_t capacity, size_t* needed) {
  return guard([&] {
    require(config, "config");
    check(flags == MOE_DUMP_VALUES || flags == MOE_DUMP_ORIGINS, MOE_ERR_INVALID_ARGUMENT,
          "flags: expected MOE_DUMP_VALUES (0) or MOE_DUMP_ORIGINS (1), got ", flags);
    write_text(config->config.dump(flags == MOE_DUMP_ORIGINS), buffer, capacity, needed);
  });
}

moe_status moe_config_describe(const char* task, char* buffer, size_t capacity, size_t* needed) {
  return guard([&] { write_text(reference_page(task), buffer, capacity, needed); });
}

void moe_config_free(moe_config* config) {
  destroy(config);
}

}  // extern "C"
