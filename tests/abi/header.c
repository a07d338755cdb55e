/* The public header alone, as a C or C++ program sees it. Compiled in every standard that CMakeLists.txt lists; never
 * run. */
#include <moe.h>

int main(void) {
  moe_error_info error = MOE_ERROR_INFO_INIT;
  moe_tensor_info tensor = MOE_TENSOR_INFO_INIT;
  moe_generate_options generate = MOE_GENERATE_OPTIONS_INIT;
  moe_data_report report = MOE_DATA_REPORT_INIT;
  moe_session_options session = MOE_SESSION_OPTIONS_INIT;
  moe_layer_info layer = MOE_LAYER_INFO_INIT;
  moe_layer_stat stat = MOE_LAYER_STAT_INIT;
  moe_run_options run = MOE_RUN_OPTIONS_INIT;
  moe_run_event event = MOE_RUN_EVENT_INIT;
#ifndef __cplusplus
  const float values[2] = {1.0F, 2.0F};
  const int64_t shape[1] = {2};
  const moe_tensor_view view = {MOE_VIEW_F32, .data = values, .shape = shape, .ndim = 1};
  if (view.ndim != 1) return 1;
#endif
  return error.status != MOE_OK || tensor.ndim != 0 || generate.threads != 2 || report.pictures != 0 ||
         session.log_fn != NULL || layer.experts != 0 || stat.tokens != 0 || run.mode != MOE_RUN_AUTO ||
         event.kind != 0;
}
