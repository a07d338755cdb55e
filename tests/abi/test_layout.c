/* Sizes and offsets of every struct that crosses the boundary, on 64-bit Linux. They are a promise: a struct may grow
 * at its end, with a new SIZE here and its old size pinned in capi/buffers.h; an OFFSET never changes. */
#include <moe.h>
#include <stddef.h>

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), "size of " #type)
#define OFFSET(type, field, bytes) _Static_assert(offsetof(type, field) == (bytes), "offset of " #type "." #field)

SIZE(moe_error_info, 1040);
OFFSET(moe_error_info, struct_size, 0);
OFFSET(moe_error_info, status, 4);
OFFSET(moe_error_info, line, 8);
OFFSET(moe_error_info, column, 12);
OFFSET(moe_error_info, text, 16);

SIZE(moe_tensor_view, 56);
OFFSET(moe_tensor_view, struct_size, 0);
OFFSET(moe_tensor_view, dtype, 4);
OFFSET(moe_tensor_view, device_type, 8);
OFFSET(moe_tensor_view, device_index, 12);
OFFSET(moe_tensor_view, ndim, 16);
OFFSET(moe_tensor_view, reserved, 20);
OFFSET(moe_tensor_view, data, 24);
OFFSET(moe_tensor_view, shape, 32);
OFFSET(moe_tensor_view, strides, 40);
OFFSET(moe_tensor_view, byte_offset, 48);

SIZE(moe_tensor_info, 152);
OFFSET(moe_tensor_info, struct_size, 0);
OFFSET(moe_tensor_info, dtype, 4);
OFFSET(moe_tensor_info, ndim, 8);
OFFSET(moe_tensor_info, reserved, 12);
OFFSET(moe_tensor_info, shape, 16);
OFFSET(moe_tensor_info, bytes, 80);
OFFSET(moe_tensor_info, name, 88);

SIZE(moe_generate_options, 48);
OFFSET(moe_generate_options, struct_size, 0);
OFFSET(moe_generate_options, train_images, 4);
OFFSET(moe_generate_options, val_images, 8);
OFFSET(moe_generate_options, width, 12);
OFFSET(moe_generate_options, height, 16);
OFFSET(moe_generate_options, threads, 20);
OFFSET(moe_generate_options, seed, 24);
OFFSET(moe_generate_options, log_fn, 32);
OFFSET(moe_generate_options, log_user, 40);

SIZE(moe_session_options, 24);
OFFSET(moe_session_options, struct_size, 0);
OFFSET(moe_session_options, reserved, 4);
OFFSET(moe_session_options, log_fn, 8);
OFFSET(moe_session_options, log_user, 16);

SIZE(moe_step_info, 704);
OFFSET(moe_step_info, struct_size, 0);
OFFSET(moe_step_info, micro_batches, 4);
OFFSET(moe_step_info, step, 8);
OFFSET(moe_step_info, samples, 16);
OFFSET(moe_step_info, loss, 24);
OFFSET(moe_step_info, grad_norm, 32);
OFFSET(moe_step_info, lr, 40);
OFFSET(moe_step_info, seconds, 48);
OFFSET(moe_step_info, skipped, 56);
OFFSET(moe_step_info, loss_count, 60);
OFFSET(moe_step_info, loss_name, 64);
OFFSET(moe_step_info, loss_value, 576);

SIZE(moe_metric, 72);
OFFSET(moe_metric, name, 0);
OFFSET(moe_metric, value, 64);

SIZE(moe_layer_info, 128);
OFFSET(moe_layer_info, struct_size, 0);
OFFSET(moe_layer_info, experts, 4);
OFFSET(moe_layer_info, top_k, 8);
OFFSET(moe_layer_info, classes, 12);
OFFSET(moe_layer_info, name, 16);
OFFSET(moe_layer_info, kind, 80);
OFFSET(moe_layer_info, unit, 112);

SIZE(moe_expert_stat, 56);
OFFSET(moe_expert_stat, tokens, 0);
OFFSET(moe_expert_stat, computed, 8);
OFFSET(moe_expert_stat, dropped, 16);
OFFSET(moe_expert_stat, share, 24);
OFFSET(moe_expert_stat, activation_rate, 32);
OFFSET(moe_expert_stat, gate_mean, 40);
OFFSET(moe_expert_stat, importance, 48);

SIZE(moe_layer_stat, 120);
OFFSET(moe_layer_stat, struct_size, 0);
OFFSET(moe_layer_stat, dead_experts, 4);
OFFSET(moe_layer_stat, tokens, 8);
OFFSET(moe_layer_stat, assignments, 16);
OFFSET(moe_layer_stat, token_entropy, 24);
OFFSET(moe_layer_stat, marginal_entropy, 32);
OFFSET(moe_layer_stat, load_cv, 40);
OFFSET(moe_layer_stat, max_violation, 48);
OFFSET(moe_layer_stat, dropped, 56);
OFFSET(moe_layer_stat, unrouted, 64);
OFFSET(moe_layer_stat, mutual_information, 72);
OFFSET(moe_layer_stat, gini, 80);
OFFSET(moe_layer_stat, dominant_share, 88);
OFFSET(moe_layer_stat, confidence, 96);
OFFSET(moe_layer_stat, margin, 104);
OFFSET(moe_layer_stat, class_nmi, 112);

SIZE(moe_data_report, 40);
OFFSET(moe_data_report, struct_size, 0);
OFFSET(moe_data_report, reserved, 4);
OFFSET(moe_data_report, pictures, 8);
OFFSET(moe_data_report, objects, 16);
OFFSET(moe_data_report, problems, 24);
OFFSET(moe_data_report, excluded, 32);

SIZE(moe_run_options, 24);
OFFSET(moe_run_options, struct_size, 0);
OFFSET(moe_run_options, mode, 4);
OFFSET(moe_run_options, log_fn, 8);
OFFSET(moe_run_options, log_user, 16);

SIZE(moe_run_event, 600);
OFFSET(moe_run_event, struct_size, 0);
OFFSET(moe_run_event, kind, 4);
OFFSET(moe_run_event, epoch, 8);
OFFSET(moe_run_event, epochs, 16);
OFFSET(moe_run_event, step, 24);
OFFSET(moe_run_event, steps, 32);
OFFSET(moe_run_event, loss, 40);
OFFSET(moe_run_event, metric, 48);
OFFSET(moe_run_event, images_per_second, 56);
OFFSET(moe_run_event, load_seconds, 64);
OFFSET(moe_run_event, step_seconds, 72);
OFFSET(moe_run_event, seconds_left, 80);
OFFSET(moe_run_event, text, 88);

_Static_assert(sizeof(moe_status) == 4 && sizeof(moe_dtype) == 4, "fixed width");
_Static_assert(MOE_OK == 0 && MOE_END == 1 && MOE_ERR_INVALID_ARGUMENT == 2 && MOE_ERR_OUT_OF_MEMORY == 3 &&
                   MOE_ERR_NOT_FOUND == 4 && MOE_ERR_IO == 5 && MOE_ERR_PARSE == 6 && MOE_ERR_CONFIG == 7 &&
                   MOE_ERR_SHAPE == 8 && MOE_ERR_DTYPE == 9 && MOE_ERR_DEVICE == 10 && MOE_ERR_STATE == 11 &&
                   MOE_ERR_VERSION == 12 && MOE_ERR_UNSUPPORTED == 13 && MOE_ERR_CANCELLED == 14 &&
                   MOE_ERR_BUFFER_TOO_SMALL == 15 && MOE_ERR_NUMERIC == 16 && MOE_ERR_DATA == 17 &&
                   MOE_ERR_INTERNAL == 18,
               "pinned status values");
_Static_assert(MOE_EVENT_STEP == 1 && MOE_EVENT_EPOCH == 2 && MOE_EVENT_EVAL == 3 && MOE_EVENT_CHECKPOINT == 4 &&
                   MOE_EVENT_DONE == 5 && MOE_RUN_AUTO == 0 && MOE_RUN_NEW == 1 && MOE_RUN_RESUME == 2 &&
                   MOE_WINDOW_LAST_STEP == 0 && MOE_WINDOW_SINCE_RESET == 1 && MOE_WINDOW_LIFETIME == 2 &&
                   MOE_WINDOW_LAST_EVAL == 3,
               "pinned constants");

int main(void) {
  return 0;
}
