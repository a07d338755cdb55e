/* What Go cannot express of moe.h: a C function as log callback, an integer as its user pointer, an initialiser macro,
 * and a struct of pointers to Go's memory. */
#ifndef MOE_GO_BRIDGE_H
#define MOE_GO_BRIDGE_H

#include <moe.h>
#include <stdint.h>

/* handle: a runtime/cgo.Handle of a *logger; 0 for silence. */
void moe_go_set_log(moe_log_fn* log_fn, void** log_user, uintptr_t handle);
moe_status moe_go_loader_set_log(moe_loader* loader, uintptr_t handle);
moe_status moe_go_data_check(const moe_config* config, const char* list, uintptr_t handle, moe_data_report* out);
moe_status moe_go_coco_evaluate(const char* annotations, const char* detections, uintptr_t handle, moe_metric* metrics,
                                size_t capacity, size_t* count);

moe_generate_options moe_go_generate_options(void);

/* moe_batch_set() on a view that is put together here: Go keeps memory in place whose address is an argument, and does
 * not allow it inside a struct. `data` is char, for which cgo asks nothing of the memory: it may also be C's, or part
 * of a larger object. shape: ndim sizes; strides: ndim strides or NULL. */
moe_status moe_go_batch_set(moe_batch* batch, const char* name, moe_dtype dtype, const char* data, int32_t ndim,
                            const int64_t* shape, const int64_t* strides);

/* The calling thread; never 0. */
uintptr_t moe_go_thread(void);

#endif
