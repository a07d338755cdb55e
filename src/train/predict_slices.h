// Prediction of a large picture: of the whole of it, as the batch has it, and of its slices, each brought to the same
// input. The task joins what it finds. It decides no slices: the batch brings them (data/slices.h).
#pragma once

#include "data/transform.h"
#include "models/task.h"

namespace moe {

// batch: one picture with "pictures" [1, h, w, 3] uint8 and "slices" [T, 4] int64, checked by the task. Slices are
// computed `at_once` at a time.
Batch predict_slices(Task& task, const Batch& batch, Fit fit, int64_t at_once);

}  // namespace moe
