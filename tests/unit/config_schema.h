// A small schema with every kind of key, for the tests of src/config.
#pragma once

#include "config/config.h"

namespace moe {

inline Schema toy_schema(const std::string& task) {
  using enum KeyType;
  if (task != "toy") fail(MOE_ERR_CONFIG, "task: expected one of toy, got ", quote(task), did_you_mean(task, {"toy"}));
  return {
      {"task", text, "", "", "Name of the system."},
      {"seed", integer, "0", ">= 0", "Root of every random stream."},
      {"name", text, "", "", "A free text."},
      {"train.epochs", integer, "10", ">= 1", "Passes over the data."},
      {"train.amp", text, "off", "off | bf16 | fp16", "Mixed precision."},
      {"train.shuffle", boolean, "true", "", "Random order."},
      {"train.milestones", integers, "[]", ">= 1", "Epochs of the drops."},
      {"optimizer.lr", number, "1e-4", "> 0", "Learning rate."},
      {"optimizer.betas", numbers, "[0.9, 0.999]", ">= 0, < 1", "Decay rates."},
      {"optimizer.groups.*.lr", number, "1e-4", "> 0", "Learning rate of a group."},
      {"optimizer.groups.*.match", texts, "[]", "", "Regular expressions on names."},
      {"model.width", number, "1", "> 0, <= 4", "Width factor."},
      {"model.depth", integer, "18", "18 | 34 | 50", "Layers."},
      {"train.freeze", texts, "[]", "", "Parameters that stay."},
      {"classes.*", text, "", "", "Class of a name in the data."},
  };
}

inline Config toy(const std::string& yaml) {
  return Config::parse("task: toy\n" + yaml, "toy.yml", toy_schema);
}

}  // namespace moe
