// The functions of moe.h as weak symbols, so that a program starts with an older library that lacks some of them and
// check_library() throws. A direct call of an absent function crashes: call check_library() first. The functions of
// versions and errors stay strong, so that a linker's --as-needed keeps the library. Programs include moe.hpp.
#pragma once

#include <moe.h>

#pragma weak moe_build_info
#pragma weak moe_set_threads
#pragma weak moe_tensor_view_init
#pragma weak moe_config_load
#pragma weak moe_config_parse
#pragma weak moe_config_clone
#pragma weak moe_config_set
#pragma weak moe_config_get
#pragma weak moe_config_origin
#pragma weak moe_config_dump
#pragma weak moe_config_describe
#pragma weak moe_config_free
#pragma weak moe_batch_create
#pragma weak moe_batch_set
#pragma weak moe_batch_bind_dlpack
#pragma weak moe_batch_count
#pragma weak moe_batch_info_at
#pragma weak moe_batch_info
#pragma weak moe_batch_read
#pragma weak moe_batch_export_dlpack
#pragma weak moe_batch_clear
#pragma weak moe_batch_free
#pragma weak moe_loader_create
#pragma weak moe_loader_create_files
#pragma weak moe_loader_next
#pragma weak moe_loader_set_log
#pragma weak moe_loader_size
#pragma weak moe_loader_file_name
#pragma weak moe_loader_broken
#pragma weak moe_loader_free
#pragma weak moe_data_generate
#pragma weak moe_data_check
#pragma weak moe_session_create
#pragma weak moe_session_open
#pragma weak moe_session_config
#pragma weak moe_session_describe_batch
#pragma weak moe_session_feed
#pragma weak moe_step_info_init
#pragma weak moe_session_step
#pragma weak moe_session_discard
#pragma weak moe_session_predict
#pragma weak moe_session_evaluate
#pragma weak moe_coco_evaluate
#pragma weak moe_session_draw
#pragma weak moe_session_save
#pragma weak moe_session_export
#pragma weak moe_session_load
#pragma weak moe_session_get
#pragma weak moe_session_set
#pragma weak moe_session_request_stop
#pragma weak moe_session_free
#pragma weak moe_session_layer_count
#pragma weak moe_session_layer_info
#pragma weak moe_session_expert_name
#pragma weak moe_session_expert_stats
#pragma weak moe_session_layer_stats
#pragma weak moe_session_class_routing
#pragma weak moe_session_coactivation
#pragma weak moe_session_stats_reset
#pragma weak moe_run_open
#pragma weak moe_run_next
#pragma weak moe_run_request_stop
#pragma weak moe_run_session
#pragma weak moe_run_close
