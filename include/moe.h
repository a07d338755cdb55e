/*
 * moe.h: train mixture-of-experts models from C, or from any language that can call C.
 *
 * This header is the whole public surface of libmoe, and its manual. Nothing else of the library is visible: no C++ type,
 * no tensor library, no YAML. A whole training is a run in a folder:
 *
 *     #include <moe.h>
 *     #include <stdio.h>
 *
 *     static int fail(void) {
 *       moe_error_info e = MOE_ERROR_INFO_INIT;
 *       moe_last_error(&e);
 *       fprintf(stderr, "%s\n", e.text);   // configs/a.yml:12:7: optimizer.lr: expected a number > 0, got "fast"
 *       return 1;
 *     }
 *
 *     int main(void) {
 *       moe_config *config = NULL;
 *       moe_run *run = NULL;
 *       moe_run_event event = MOE_RUN_EVENT_INIT;
 *       if (moe_config_load("configs/rtdetr/synthetic.yml", &config)) return fail();
 *       if (moe_config_set(config, "train.epochs", "5")) return fail();
 *       if (moe_run_open(config, "runs/first", NULL, &run)) return fail();      // new, or resumes what is there
 *       moe_status status;
 *       while ((status = moe_run_next(run, &event)) == MOE_OK) printf("%s\n", event.text); // step, eval, checkpoint ...
 *       if (status != MOE_END) return fail();
 *       moe_run_close(run);
 *       moe_config_free(config);
 *       return 0;
 *     }
 *
 * A program with its own data and loop uses a session:
 *
 *     moe_batch_set(batch, "images", &(moe_tensor_view){MOE_VIEW_F32, .ndim = 4, .data = pixels,
 *                                                       .shape = (int64_t[]){4, 3, 320, 320}});
 *     moe_session_feed(session, batch);            // as often as the accumulation window asks for
 *     moe_session_step(session, &info);            // all or nothing
 *     moe_session_expert_stats(session, layer, MOE_WINDOW_LAST_STEP, stats, capacity, &count);
 *
 * CONVENTIONS, true for every function unless its own text says otherwise
 *
 * Results. Every call returns a moe_status: 0 is success, MOE_END the end of a sequence, everything above an error. On an
 *   error no out-parameter is written and moe_last_error() of the same thread holds one line of text: what was expected, what
 *   came, and where. A success does not clear that text: read it only after an error. `_free` and `_close` return nothing
 *   and accept NULL. A required pointer that is NULL, or a constant or index out of range, is MOE_ERR_INVALID_ARGUMENT, never
 *   a crash. Every call may also return MOE_ERR_OUT_OF_MEMORY, having changed nothing.
 * Ownership. What `_create`, `_load`, `_parse` and `_open` give is the caller's until the matching `_free` or `_close`.
 *   Everything passed in is read during the call only; nothing of it is kept. Results are copied into the caller's memory; no
 *   pointer into the library's memory is handed out, except static strings, which stay valid for ever.
 * Text is UTF-8 with a terminating NUL. A call that fills a buffer takes (`buffer`, `capacity`, `needed`): `*needed` always
 *   receives the full size in bytes, NUL included, if `needed` is not NULL; with too small a capacity the buffer stays
 *   untouched and MOE_ERR_BUFFER_TOO_SMALL comes back. A NULL buffer with capacity 0 asks for the size alone: MOE_OK.
 *   Arrays follow the same rule, counted in elements, and `count` is what `needed` is for text.
 * Structs that begin with `struct_size` are set with their `_INIT` macro or `_init` function before use. They grow only at
 *   the end, so programs built with an older header keep working; a size of 0, or one that no header up to the library's own
 *   had, is MOE_ERR_INVALID_ARGUMENT. `reserved` members are 0.
 * Threads. Different handles may be used in different threads at the same time. One handle belongs to one thread at a time;
 *   only moe_session_request_stop() and moe_run_request_stop() may be called from anywhere. After fork() the library cannot
 *   be used in the child (every call gives MOE_ERR_STATE there): start workers with fork + exec.
 * Callbacks run on the thread that makes the call, before the call returns, and receive `user` unchanged. They must not call
 *   back into the same handle. Nothing prints, nothing exits, nothing aborts.
 */
#ifndef MOE_H
#define MOE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define MOE_API
#else
#define MOE_API __attribute__((visibility("default")))
#endif

/* Put in front of a function that a later version will drop: MOE_DEPRECATED("0.4: use moe_x()") MOE_API ... A program can ask
 * not to be warned (docs/abi.md). */
#if defined(__GNUC__) && !defined(MOE_NO_DEPRECATED)
#define MOE_DEPRECATED(text) __attribute__((deprecated(text)))
#else
#define MOE_DEPRECATED(text)
#endif

/* ------------------------------------------------------------------------------------------------------------ Library */

#define MOE_VERSION_MAJOR 0
#define MOE_VERSION_MINOR 1
#define MOE_VERSION_PATCH 0
/* Version of this header as one number: major * 10000 + minor * 100 + patch. */
#define MOE_VERSION (MOE_VERSION_MAJOR * 10000 + MOE_VERSION_MINOR * 100 + MOE_VERSION_PATCH)
/* Binary interface this header describes; it is the number in the file name libmoe.so.MOE_ABI. */
#define MOE_ABI 0

/* Result of a call. The values never change. */
typedef int32_t moe_status;
enum {
  MOE_OK = 0,                    /* success */
  MOE_END = 1,                   /* the sequence is over: no more batches in this epoch, no more events in this run */
  MOE_ERR_INVALID_ARGUMENT = 2,  /* NULL, a negative count, an unknown name or constant */
  MOE_ERR_OUT_OF_MEMORY = 3,     /* an allocation failed; nothing was changed */
  MOE_ERR_NOT_FOUND = 4,         /* a file, key or name does not exist */
  MOE_ERR_IO = 5,                /* reading or writing failed: permission, full disk, short file */
  MOE_ERR_PARSE = 6,             /* text is not well formed YAML or JSON */
  MOE_ERR_CONFIG = 7,            /* a setting is unknown, of the wrong type, out of range or contradicts another */
  MOE_ERR_SHAPE = 8,             /* a tensor has the wrong number of dimensions, sizes or strides */
  MOE_ERR_DTYPE = 9,             /* a tensor has the wrong element type */
  MOE_ERR_DEVICE = 10,           /* the device does not exist or is not supported by this build */
  MOE_ERR_STATE = 11,            /* not possible now: step without feed, a run folder that is in use */
  MOE_ERR_VERSION = 12,          /* a file or DLPack tensor of a version that this library does not know */
  MOE_ERR_UNSUPPORTED = 13,      /* known, but this task cannot do it */
  MOE_ERR_CANCELLED = 14,        /* stopped by request_stop before the work was done; nothing was changed */
  MOE_ERR_BUFFER_TOO_SMALL = 15, /* the caller's buffer cannot hold the result; see `needed` */
  MOE_ERR_NUMERIC = 16,          /* a loss, gradient or input is not finite */
  MOE_ERR_DATA = 17,             /* a data set, image, label or checkpoint holds something wrong */
  MOE_ERR_INTERNAL = 18          /* a defect of the library: please report the text */
};

/* Detail of the last error of the calling thread. */
typedef struct moe_error_info {
  uint32_t struct_size;
  moe_status status; /* MOE_OK when this thread has seen no error yet */
  int32_t line;      /* of a file, from 1; 0 when there is none */
  int32_t column;    /* from 1; 0 when there is none */
  char text[1024];   /* one line: where (file:line:column when known), what was expected, what came */
} moe_error_info;
#define MOE_ERROR_INFO_INIT {sizeof(moe_error_info), 0, 0, 0, {0}}

/* Fills `out` with the last error of the calling thread. Any thread, also in a forked child. Returns MOE_OK or
 * MOE_ERR_INVALID_ARGUMENT. Since 0.1 */
MOE_API moe_status moe_last_error(moe_error_info *out);

/* Static name of a status, such as "MOE_ERR_SHAPE"; "unknown status" for other numbers. Any thread. Since 0.1 */
MOE_API const char *moe_status_name(moe_status status);

/* Version of the loaded library, as MOE_VERSION. Compare it with the header's at start. Any thread. Since 0.1 */
MOE_API int32_t moe_version(void);

/* The same as static text, "0.1.0". Any thread. Since 0.1 */
MOE_API const char *moe_version_string(void);

/* Binary interface of the loaded library; must equal MOE_ABI of the header. Any thread. Since 0.1 */
MOE_API int32_t moe_abi_version(void);

/* Writes a JSON object: version, abi, torch (version), cpu_capability, threads, cuda (bool: libmoe_cuda.so lies beside this
 * library), gemm (which library multiplies matrices of each element type, and why), allocator (whether large blocks are kept
 * between uses), compiler, tasks (array of names), libraries (name to version). Any thread. Errors: MOE_ERR_BUFFER_TOO_SMALL.
 * Since 0.1 */
MOE_API moe_status moe_build_info(char *buffer, size_t capacity, size_t *needed);

/* Number of threads for the library's parallel loops and matrix products; process-wide, taken up by every thread at its next
 * call: set it before the first session. Without it, OMP_NUM_THREADS or the number of cores decides. threads: 1 to 1024. The
 * thread count is part of a run's result: the same count gives the same bits.
 * Errors: MOE_ERR_INVALID_ARGUMENT. Since 0.1 */
MOE_API moe_status moe_set_threads(int32_t threads);

/* ------------------------------------------------------------------------------------------------------------- Tensors */

/* Element types: DLPack's type code in the low byte, bits per element in the next. */
typedef int32_t moe_dtype;
enum {
  MOE_I8 = 0x0800,   /* int8_t */
  MOE_I16 = 0x1000,  /* int16_t */
  MOE_I32 = 0x2000,  /* int32_t */
  MOE_I64 = 0x4000,  /* int64_t */
  MOE_U8 = 0x0801,   /* uint8_t */
  MOE_F16 = 0x1002,  /* IEEE half, raw 16 bits */
  MOE_F32 = 0x2002,  /* float */
  MOE_F64 = 0x4002,  /* double */
  MOE_BF16 = 0x1004, /* bfloat16, raw 16 bits */
  MOE_BOOL = 0x0806  /* one byte, 0 or 1 */
};

/* Where memory lies; DLPack's numbers. */
enum { MOE_DEVICE_CPU = 1, MOE_DEVICE_CUDA = 2 };

enum { MOE_MAX_DIMS = 8 };

/* A tensor in the caller's memory. Read during the call only. */
typedef struct moe_tensor_view {
  uint32_t struct_size;
  moe_dtype dtype;
  int32_t device_type;    /* 0 means MOE_DEVICE_CPU */
  int32_t device_index;
  int32_t ndim;           /* 0 to MOE_MAX_DIMS */
  int32_t reserved;       /* 0 */
  const void *data;       /* aligned to the element size after byte_offset; may be NULL only when a size is 0 */
  const int64_t *shape;   /* ndim sizes, each >= 0 */
  const int64_t *strides; /* ndim strides in elements, each >= 0; NULL means dense row-major */
  uint64_t byte_offset;   /* added to data */
} moe_tensor_view;
/* First member of a designated initialiser: {MOE_VIEW_F32, .data = x, .shape = s, .ndim = 2} */
#define MOE_VIEW_F32 .struct_size = sizeof(moe_tensor_view), .dtype = MOE_F32
#define MOE_VIEW_I64 .struct_size = sizeof(moe_tensor_view), .dtype = MOE_I64
#define MOE_VIEW_U8 .struct_size = sizeof(moe_tensor_view), .dtype = MOE_U8

/* Sets every field to 0 and struct_size to its value. Any thread. Since 0.1 */
MOE_API void moe_tensor_view_init(moe_tensor_view *view);

/* What is known of a tensor without its data. */
typedef struct moe_tensor_info {
  uint32_t struct_size;
  moe_dtype dtype;
  int32_t ndim;
  int32_t reserved;
  int64_t shape[8];
  uint64_t bytes;     /* of the dense row-major form */
  char name[64];
} moe_tensor_info;
#define MOE_TENSOR_INFO_INIT {sizeof(moe_tensor_info), 0, 0, 0, {0}, 0, {0}}

/* ------------------------------------------------------------------------------------------------------------- Configs
 * A moe_config holds the settings of one task: every key of its schema, its value and where that value came from. Files are
 * YAML; `base: other.yml` or a list inherits (the leaf wins, maps merge, lists replace). A key that the schema does not know
 * is an error that names the nearest one. Keys are dotted paths: "optimizer.groups.new.lr". */
typedef struct moe_config moe_config;

/* Reads `path` and everything it inherits from. The result is validated against the schema of its `task`.
 * Errors: MOE_ERR_NOT_FOUND, MOE_ERR_IO, MOE_ERR_PARSE, MOE_ERR_CONFIG, with file:line:column. Since 0.1 */
MOE_API moe_status moe_config_load(const char *path, moe_config **out);

/* The same from `length` bytes of memory. `name` stands for the file in messages and is where `base:` paths start; NULL means
 * "<memory>" and the current folder. Since 0.1 */
MOE_API moe_status moe_config_parse(const char *text, size_t length, const char *name, moe_config **out);

/* Deep copy. Since 0.1 */
MOE_API moe_status moe_config_clone(const moe_config *config, moe_config **out);

/* Overrides one key. `value` is a YAML scalar or flow list ("1e-4", "true", "[1, 2]"), checked against the schema at once; on
 * an error the config is unchanged. Errors: MOE_ERR_CONFIG, MOE_ERR_PARSE. Since 0.1 */
MOE_API moe_status moe_config_set(moe_config *config, const char *key, const char *value);

/* Writes the value of a key as YAML text. Errors: MOE_ERR_NOT_FOUND, MOE_ERR_BUFFER_TOO_SMALL. Since 0.1 */
MOE_API moe_status moe_config_get(const moe_config *config, const char *key, char *buffer, size_t capacity, size_t *needed);

/* Writes where the value of a key came from: "default", "file:line:column" or "override". Since 0.1 */
MOE_API moe_status moe_config_origin(const moe_config *config, const char *key, char *buffer, size_t capacity, size_t *needed);

enum {
  MOE_DUMP_VALUES = 0, /* YAML that loads back to the same settings */
  MOE_DUMP_ORIGINS = 1 /* the same, each line with a comment naming its origin */
};
/* Writes all settings, defaults included. flags: one of MOE_DUMP_*. Since 0.1 */
MOE_API moe_status moe_config_dump(const moe_config *config, int32_t flags, char *buffer, size_t capacity, size_t *needed);

/* Writes the reference page of a task's settings in Markdown: key, type, default, range or choices, meaning, version.
 * task: a task name; NULL gives the keys that every task shares. Errors: MOE_ERR_NOT_FOUND. Since 0.1 */
MOE_API moe_status moe_config_describe(const char *task, char *buffer, size_t capacity, size_t *needed);

/* Frees the config. Sessions, loaders and runs made from it keep their own copy. Since 0.1 */
MOE_API void moe_config_free(moe_config *config);

/* ------------------------------------------------------------------------------------------------------------- Batches
 * A moe_batch is one micro-batch: named tensors. Ragged targets are flat with offsets: boxes [N, 4], labels [N],
 * offsets [B + 1]. moe_session_describe_batch() tells what a task wants. */
typedef struct moe_batch moe_batch;

/* An empty batch. Since 0.1 */
MOE_API moe_status moe_batch_create(moe_batch **out);

/* Copies a tensor into the batch under `name` (1 to 63 characters), replacing one of that name. Any strides >= 0.
 * A byte of MOE_BOOL that is not 0 counts as 1. Errors: MOE_ERR_SHAPE (negative size or stride, overflow, too many
 * dimensions), MOE_ERR_DTYPE, MOE_ERR_DEVICE, MOE_ERR_INVALID_ARGUMENT (no data, misaligned data). Since 0.1 */
MOE_API moe_status moe_batch_set(moe_batch *batch, const char *name, const moe_tensor_view *view);

struct DLManagedTensorVersioned;
/* Takes over a DLPack 1.x tensor under `name` without a copy; its memory must not be written while it is bound. The library
 * calls its deleter, if it has one, exactly once: in the call that lets go of the last use (the tensor is replaced, the batch
 * is cleared or freed, and every window it was fed to is stepped or discarded), or before this call returns an error, whatever
 * the error is. Errors: MOE_ERR_VERSION (other major version) and those of moe_batch_set(). Since 0.1 */
MOE_API moe_status moe_batch_bind_dlpack(moe_batch *batch, const char *name, struct DLManagedTensorVersioned *tensor);

/* Number of tensors in the batch. Since 0.1 */
MOE_API moe_status moe_batch_count(const moe_batch *batch, int32_t *out);

/* Name, type and shape of tensor `index` (0 to count - 1), in the order of their setting. Since 0.1 */
MOE_API moe_status moe_batch_info_at(const moe_batch *batch, int32_t index, moe_tensor_info *out);

/* The same by name. Errors: MOE_ERR_NOT_FOUND. Since 0.1 */
MOE_API moe_status moe_batch_info(const moe_batch *batch, const char *name, moe_tensor_info *out);

/* Copies a tensor, dense and row-major, into the caller's memory. capacity and needed in bytes. Since 0.1 */
MOE_API moe_status moe_batch_read(const moe_batch *batch, const char *name, void *buffer, size_t capacity, size_t *needed);

/* Hands a tensor out as DLPack 1.x without a copy: *out shares its memory with the batch and keeps it alive, also after the batch
 * is gone. Call its deleter, once, when done (a consumer such as NumPy's or PyTorch's from_dlpack does). The memory must not be
 * written. Errors: MOE_ERR_NOT_FOUND. Since 0.1 */
MOE_API moe_status moe_batch_export_dlpack(const moe_batch *batch, const char *name, struct DLManagedTensorVersioned **out);

/* Removes every tensor. Since 0.1 */
MOE_API moe_status moe_batch_clear(moe_batch *batch);

/* Frees the batch. Since 0.1 */
MOE_API void moe_batch_free(moe_batch *batch);

/* ------------------------------------------------------------------------------------------------------------- Loaders
 * A moe_loader reads a data set of the config, decodes and augments in worker threads, and gives batches in an order that
 * depends on the seed and the epoch alone: the number of workers changes the speed, never a bit. */
typedef struct moe_loader moe_loader;

enum { MOE_LOG_DEBUG = 0, MOE_LOG_INFO = 1, MOE_LOG_WARNING = 2, MOE_LOG_ERROR = 3 };
/* Receives one whole line without its newline, in the thread of the call that it is about. */
typedef void (*moe_log_fn)(int32_t level, const char *message, void *user);

/* Opens one split of the config's data set. split: "train" (shuffled, augmented) or "val" (in order, with what the evaluator
 * needs). Errors: MOE_ERR_NOT_FOUND, MOE_ERR_IO, MOE_ERR_DATA (empty set, wrong label, file that a split names and that is
 * absent), MOE_ERR_CONFIG. Since 0.1 */
MOE_API moe_status moe_loader_create(const moe_config *config, const char *split, moe_loader **out);

/* A loader over image files without labels, for prediction. paths: `count` file names. A file that cannot be read is told to the
 * log (moe_loader_set_log()), counted (moe_loader_broken()) and left out, whatever data.max_broken is. Since 0.1 */
MOE_API moe_status moe_loader_create_files(const moe_config *config, const char *const *paths, size_t count, moe_loader **out);

/* Fills `batch` with the next batch; MOE_END after the last one of the epoch (the batch is then empty), and the call after that
 * begins the next epoch. A sample that cannot be read is counted; training puts another one in its place, evaluation leaves it
 * out. Errors: MOE_ERR_DATA (more than data.max_broken in an epoch); the next call tries the same batch again. Since 0.1 */
MOE_API moe_status moe_loader_next(moe_loader *loader, moe_batch *batch);

/* Tells `log_fn` of every sample that cannot be read and why (MOE_LOG_WARNING), of odd annotations (MOE_LOG_WARNING) and of what
 * the split holds (MOE_LOG_INFO, one line); at once of what was noted since the loader was made. It is called within this
 * function, moe_loader_next() and moe_session_evaluate() only, never from a worker thread. log_fn: NULL for silence, as at first;
 * broken samples of that time are counted, not told later. user: handed on to it; must live until the loader is freed or has
 * another log. Errors: MOE_ERR_INVALID_ARGUMENT (loader is NULL). Since 0.1 */
MOE_API moe_status moe_loader_set_log(moe_loader *loader, moe_log_fn log_fn, void *user);

/* Samples in the split and batches in one epoch. Each out-pointer may be NULL. Since 0.1 */
MOE_API moe_status moe_loader_size(const moe_loader *loader, int64_t *samples, int64_t *batches);

/* File name of the sample with this image id, as the data set gives it. Errors: MOE_ERR_NOT_FOUND. Since 0.1 */
MOE_API moe_status moe_loader_file_name(const moe_loader *loader, int64_t image_id, char *buffer, size_t capacity, size_t *needed);

/* Samples that could not be read since the loader was made. Since 0.1 */
MOE_API moe_status moe_loader_broken(const moe_loader *loader, int64_t *out);

/* Stops the workers and frees the loader. Since 0.1 */
MOE_API void moe_loader_free(moe_loader *loader);

/* Settings of moe_data_generate(). */
typedef struct moe_generate_options {
  uint32_t struct_size;
  int32_t train_images; /* >= 1 */
  int32_t val_images;   /* >= 0 */
  int32_t width;        /* pixels, 64 to 4096 */
  int32_t height;       /* pixels, 64 to 4096 */
  int32_t threads;      /* 1 to 64; does not change the result */
  uint64_t seed;
  moe_log_fn log_fn;    /* NULL: silent */
  void *log_user;
} moe_generate_options;
#define MOE_GENERATE_OPTIONS_INIT {sizeof(moe_generate_options), 400, 100, 640, 384, 2, 0, NULL, NULL}

/* Writes a generated data set. kind: "traffic" (roadside scenes in DAIR-V2X-I layout: image/, label/camera/, data_info.json,
 * split_data.json). root: a folder that is created, or an empty one. The same options give the same bytes. options: NULL for the
 * defaults. Errors: MOE_ERR_INVALID_ARGUMENT, MOE_ERR_STATE (the folder is not empty), MOE_ERR_IO. Since 0.1 */
MOE_API moe_status moe_data_generate(const char *kind, const char *root, const moe_generate_options *options);

/* What moe_data_check() found. */
typedef struct moe_data_report {
  uint32_t struct_size;
  int32_t reserved;
  int64_t pictures; /* looked at, of both splits */
  int64_t objects;  /* in them, ignored regions included */
  int64_t problems; /* 0: a training can use all of it */
  int64_t excluded; /* pictures in the list */
} moe_data_report;
#define MOE_DATA_REPORT_INIT {sizeof(moe_data_report), 0, 0, 0, 0, 0}

/* Looks once through the detection data set that the config names (both splits; data.workers threads): picture files that are
 * missing, empty, cut short or of another size than annotated, labels that cannot be read, boxes without area or outside the
 * picture, types without a class, the annotation id 0, and pictures that come twice. Tells `log_fn` a line a problem
 * (MOE_LOG_WARNING; of many of one kind the first twenty and how many more) and what each split holds (MOE_LOG_INFO).
 * list: a text file that is written with the pictures to leave out, for the key data.exclude; NULL: none. log_fn, out: may be
 * NULL. Problems are no error of the call. Errors: MOE_ERR_CONFIG, MOE_ERR_NOT_FOUND (no such folder), MOE_ERR_UNSUPPORTED (not a
 * detection format), MOE_ERR_IO (list). Since 0.1 */
MOE_API moe_status moe_data_check(const moe_config *config, const char *list, moe_log_fn log_fn, void *user, moe_data_report *out);

/* ------------------------------------------------------------------------------------------------------------ Sessions
 * A moe_session is a model, its optimizer and its statistics. feed() queues micro-batches; step() computes all of them and
 * commits weights, optimizer, schedules, EMA and expert statistics together, or returns an error and leaves every one of them
 * as it was. Different sessions may live in different threads. */
typedef struct moe_session moe_session;

/* Settings that belong to the process and not to the experiment. */
typedef struct moe_session_options {
  uint32_t struct_size;
  int32_t reserved;
  moe_log_fn log_fn; /* NULL: silent */
  void *log_user;
} moe_session_options;
#define MOE_SESSION_OPTIONS_INIT {sizeof(moe_session_options), 0, NULL, NULL}

/* Builds the model of the config and loads `model.pretrained` if it is set. options: NULL for the defaults. The config is
 * copied. Errors: MOE_ERR_CONFIG, MOE_ERR_NOT_FOUND, MOE_ERR_DATA, MOE_ERR_DEVICE, MOE_ERR_OUT_OF_MEMORY. Since 0.1 */
MOE_API moe_status moe_session_create(const moe_config *config, const moe_session_options *options, moe_session **out);

/* A session from a checkpoint file, or from a run folder (its best checkpoint, else its last), with the settings stored
 * there. Errors: as above, MOE_ERR_VERSION. Since 0.1 */
MOE_API moe_status moe_session_open(const char *path, const moe_session_options *options, moe_session **out);

/* A copy of the session's settings. Since 0.1 */
MOE_API moe_status moe_session_config(const moe_session *session, moe_config **out);

/* Writes, one line per tensor, what feed() expects: name, type, shape, meaning. Since 0.1 */
MOE_API moe_status moe_session_describe_batch(const moe_session *session, char *buffer, size_t capacity, size_t *needed);

/* Checks a micro-batch against the task and queues a copy-free reference of its tensors; the batch itself may be changed or
 * freed afterwards. The window is as long as the caller makes it. Errors: MOE_ERR_SHAPE, MOE_ERR_DTYPE, MOE_ERR_NOT_FOUND (a
 * tensor is missing), MOE_ERR_DATA (class id out of range, offsets that do not add up), MOE_ERR_NUMERIC (NaN or infinity);
 * nothing is queued then. The gradient equals that of one batch but for BatchNorm statistics and denoising groups. Since 0.1 */
MOE_API moe_status moe_session_feed(moe_session *session, const moe_batch *batch);

/* What a step did. */
typedef struct moe_step_info {
  uint32_t struct_size;
  int32_t micro_batches; /* in the window */
  int64_t step;          /* optimizer steps so far, this one included */
  int64_t samples;       /* in the window */
  double loss;           /* sum of the weighted terms, as if the window were one batch (see moe_session_feed) */
  double grad_norm;      /* global L2 norm before clipping */
  double lr;             /* of the first parameter group */
  double seconds;        /* wall time of the step */
  int32_t skipped;       /* 1: fp16 gradients overflowed, the scale was lowered, weights unchanged */
  int32_t loss_count;    /* entries used in the two arrays below */
  char loss_name[16][32]; /* of more than 16 terms, the last entry is "other": the sum of the rest */
  double loss_value[16];  /* weighted terms; they add up to `loss` */
} moe_step_info;

/* Sets every field to 0 and struct_size to its value. Any thread. Since 0.1 */
MOE_API void moe_step_info_init(moe_step_info *info);

/* Trains on the queued window, then empties it. out: may be NULL. All or nothing: on any error weights, BatchNorm buffers,
 * optimizer, schedule, EMA, random streams and statistics are bit for bit as before, the window is emptied, and the next feed
 * and step work. Errors: MOE_ERR_STATE (nothing queued), MOE_ERR_NUMERIC (names the loss term and the first bad parameter),
 * MOE_ERR_CANCELLED, MOE_ERR_OUT_OF_MEMORY, MOE_ERR_CONFIG (first step: the schedule needs a length). Since 0.1 */
MOE_API moe_status moe_session_step(moe_session *session, moe_step_info *out);

/* Drops the queued window. Since 0.1 */
MOE_API moe_status moe_session_discard(moe_session *session);

/* Runs the model without training it and replaces the contents of `out` by the named results. Uses the EMA weights when the
 * session keeps them. Detection: boxes [N, 4] xyxy in pixels of the original image, scores [N], labels [N], offsets [B + 1].
 * The batch needs no targets. Errors: as feed. Since 0.1 */
MOE_API moe_status moe_session_predict(moe_session *session, const moe_batch *batch, moe_batch *out);

/* One named number of an evaluation. */
typedef struct moe_metric {
  char name[64]; /* "AP", "AP50", "AP/car" ...; the first one is what `best` is chosen by */
  double value;
} moe_metric;

/* Evaluates over one epoch of a "val" loader, with the official rules of the task's metric. capacity and count in elements; a
 * size query, or too small a capacity, returns before any work is done. Errors: as predict and moe_loader_next; MOE_ERR_CANCELLED,
 * MOE_ERR_INVALID_ARGUMENT (data.classes of the loader differ), MOE_ERR_UNSUPPORTED (a split that lacks what it needs). Since 0.1 */
MOE_API moe_status moe_session_evaluate(moe_session *session, moe_loader *loader, moe_metric *metrics, size_t capacity, size_t *count);

/* Evaluates a file of detections against a file of annotations, both in COCO's JSON (boxes): whatever program made them. The twelve
 * official numbers are those of pycocotools to the last bit; then come AP/CLASS and AP50/CLASS; at IoU 0.50 the best F1 with its
 * score, precision and recall (F1, F1_score, precision, recall, and the same /CLASS); precision@S, recall@S, F1@S of all classes
 * together for S = 0.05, 0.10 ... 0.95; empty_images (without annotation) and FP_per_empty_image@S. -1: nothing to evaluate.
 * log_fn: warnings of what pycocotools passes over, such as detections of unknown categories; may be NULL. capacity and count in
 * elements; a size query reads the annotations only. Errors: MOE_ERR_NOT_FOUND, MOE_ERR_IO, MOE_ERR_PARSE, MOE_ERR_DATA (a key is
 * missing, an id is unknown or comes twice: names file and place). Since 0.1 */
MOE_API moe_status moe_coco_evaluate(const char *annotations, const char *detections, moe_log_fn log_fn, void *user,
                                     moe_metric *metrics, size_t capacity, size_t *count);

/* Draws sample `index` (0 to B - 1) of `batch` with its predictions and writes a PNG file. min_score: results below it are
 * left out.
 * Errors: MOE_ERR_NOT_FOUND (a tensor or the folder is missing), MOE_ERR_IO, MOE_ERR_UNSUPPORTED. Since 0.1 */
MOE_API moe_status moe_session_draw(moe_session *session, const moe_batch *batch, const moe_batch *prediction, int64_t index,
                                    double min_score, const char *path);

/* Writes a checkpoint: weights, EMA, optimizer, scaler, counters, statistics, settings, in one safetensors file. The file
 * appears whole or not at all. Errors: MOE_ERR_NOT_FOUND (no such folder), MOE_ERR_IO. Since 0.1 */
MOE_API moe_status moe_session_save(moe_session *session, const char *path);

/* Writes the weights alone, averaged ones when the session keeps them, for other programs. format: "own" (one safetensors file
 * `path` with the names of model.summary, which for rtdetr are those of the official rtdetrv2_pytorch) or, for rtdetr without
 * experts, "transformers" (a folder `path` with model.safetensors, config.json and preprocessor_config.json, which
 * RTDetrV2ForObjectDetection.from_pretrained opens). Errors: MOE_ERR_INVALID_ARGUMENT (format), MOE_ERR_UNSUPPORTED (names what
 * the format cannot hold), MOE_ERR_NOT_FOUND (no such folder), MOE_ERR_IO. Since 0.1 */
MOE_API moe_status moe_session_export(moe_session *session, const char *format, const char *path);

/* Restores what save wrote. On any error the session is unchanged. Errors: MOE_ERR_NOT_FOUND, MOE_ERR_IO, MOE_ERR_DATA
 * (truncated, checksum, another model or ema.decay: names the first tensor that differs), MOE_ERR_VERSION. Since 0.1 */
MOE_API moe_status moe_session_load(moe_session *session, const char *path);

/* Reads a value as text. Keys: state.step, state.epoch, state.samples, state.digest (64 bits over step, weights, buffers,
 * EMA and optimizer, hex), model.parameters, model.trainable, model.active_parameters and model.multiply_adds (of one sample, experts
 * that it does not use left out; MOE_ERR_UNSUPPORTED where a task does not count them), model.summary (a table of these by
 * part), model.classes (names, one a line), model.pretrained (what became of every tensor of that file, one a line:
 * "loaded NAME", "mis-shaped NAME: ...", "missing NAME", "unexpected NAME"), optimizer.groups (names, one a line),
 * optimizer.groups.NAME.lr (base rate), optimizer.groups.NAME.weight_decay, optimizer.groups.NAME.parameters (a count),
 * scaler.scale. Errors: MOE_ERR_NOT_FOUND. Since 0.1 */
MOE_API moe_status moe_session_get(const moe_session *session, const char *key, char *buffer, size_t capacity, size_t *needed);

/* Changes a value while training. Keys: state.epoch, optimizer.groups.NAME.lr (base rate before the schedule's factor, also that
 * of NAME/no_decay), eval.save (a folder, made where it is absent, into which every evaluation writes what it compared; "": none, as at
 * first. Detection: annotations.json and detections.json in COCO's format, with the category ids of data.category_ids, which
 * moe_coco_evaluate() and pycocotools turn into the same numbers). Errors: MOE_ERR_NOT_FOUND, MOE_ERR_INVALID_ARGUMENT, MOE_ERR_IO.
 * Since 0.1 */
MOE_API moe_status moe_session_set(moe_session *session, const char *key, const char *value);

/* Asks a running step, evaluation or run to stop at the next micro-batch; the call then returns MOE_ERR_CANCELLED with nothing
 * changed. The request is cleared when it was honoured: one that comes during the last micro-batch of a call stops the next call.
 * Any thread, also from a signal handler. Since 0.1 */
MOE_API moe_status moe_session_request_stop(moe_session *session);

/* Frees the session, with what it has queued. On the session of a run it does nothing. Since 0.1 */
MOE_API void moe_session_free(moe_session *session);

/* ------------------------------------------------------------------------------------------------------------- Experts
 * What every mixture layer of a session did. Numbers are committed with the step: a failed step leaves no trace. Training and
 * evaluation are counted apart. A "token" is whatever the layer routes: an image for an image-level gate, a query or a patch
 * for an FFN layer; its unit is in moe_layer_info. */

enum {
  MOE_WINDOW_LAST_STEP = 0,   /* the last committed training step */
  MOE_WINDOW_SINCE_RESET = 1, /* training steps since moe_session_stats_reset(), or since the epoch began inside a run */
  MOE_WINDOW_LIFETIME = 2,    /* all training steps, also those before a resume */
  MOE_WINDOW_LAST_EVAL = 3    /* the last evaluation */
};

/* Facts about one mixture layer. */
typedef struct moe_layer_info {
  uint32_t struct_size;
  int32_t experts; /* E */
  int32_t top_k;   /* experts per token, at most */
  int32_t classes; /* rows of the class table; 0: the layer keeps none */
  char name[64];   /* module path, "decoder.gate" */
  char kind[32];   /* "class_partitioned", "ffn" */
  char unit[16];   /* "image", "query" ... */
} moe_layer_info;
#define MOE_LAYER_INFO_INIT {sizeof(moe_layer_info), 0, 0, 0, {0}, {0}, {0}}

/* One expert in one window. */
typedef struct moe_expert_stat {
  int64_t tokens;         /* assignments by the router */
  int64_t computed;       /* tokens really computed: assignments plus those that supervision added, minus dropped ones */
  int64_t dropped;        /* assignments over capacity */
  double share;           /* tokens / sum of tokens over experts; 1/E at balance; 0 in an empty window */
  double activation_rate; /* tokens / tokens seen by the layer; k/E at balance; 0 in an empty window */
  double gate_mean;       /* mean gate weight when chosen; 0 when never chosen */
  double importance;      /* mean router probability over all tokens */
} moe_expert_stat;

/* One layer in one window. "/ ln E": divided by ln E, so that it lies between 0 and 1. Every number is 0 in an empty window. */
typedef struct moe_layer_stat {
  uint32_t struct_size;
  int32_t dead_experts;      /* experts with no token */
  int64_t tokens;            /* tokens seen by the router */
  int64_t assignments;       /* sum over experts; tokens * k for plain top-k */
  double token_entropy;      /* mean entropy of a token's distribution / ln E: 0 certain, 1 undecided */
  double marginal_entropy;   /* entropy of the mean distribution / ln E: 1 when all experts are used alike */
  double load_cv;            /* standard deviation / mean of assignments per expert; 0 at balance */
  double max_violation;      /* largest load / mean load - 1; 0 at balance */
  int64_t dropped;           /* assignments over capacity, all experts together */
  int64_t unrouted;          /* tokens that no expert computed */
  double mutual_information; /* between token and expert: marginal_entropy - token_entropy; 1 when certain and balanced */
  double gini;               /* of the assignments per expert: 0 at balance, 1 - 1/E when one expert has all */
  double dominant_share;     /* largest share of an expert; 1/E at balance; 0.8 and more is a collapse */
  double confidence;         /* mean of a token's largest probability */
  double margin;             /* mean of a token's largest minus its second largest probability; confidence when E is 1 */
  double class_nmi;          /* normalised mutual information of class and expert over moe_session_class_routing():
                                I(y; e) / sqrt(H(y) H(e)); 0 independent or not counted, 1 when each tells the other */
} moe_layer_stat;
#define MOE_LAYER_STAT_INIT {sizeof(moe_layer_stat), 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0}

/* Number of mixture layers; 0 for a dense model. Since 0.1 */
MOE_API moe_status moe_session_layer_count(const moe_session *session, int32_t *out);

/* Facts about layer `layer` (0 to count - 1). Since 0.1 */
MOE_API moe_status moe_session_layer_info(const moe_session *session, int32_t layer, moe_layer_info *out);

/* Label of an expert, such as "car" or "vehicles". Since 0.1 */
MOE_API moe_status moe_session_expert_name(const moe_session *session, int32_t layer, int32_t expert, char *buffer, size_t capacity,
                                           size_t *needed);

/* Fills `stats` with one entry per expert. window: MOE_WINDOW_*. capacity and count in elements. Since 0.1 */
MOE_API moe_status moe_session_expert_stats(const moe_session *session, int32_t layer, int32_t window, moe_expert_stat *stats,
                                            size_t capacity, size_t *count);

/* Numbers of the layer as a whole. Since 0.1 */
MOE_API moe_status moe_session_layer_stats(const moe_session *session, int32_t layer, int32_t window, moe_layer_stat *out);

/* Fills `counts` with classes x experts assignments, row-major: how often a token of class y went to expert e. A query has a class
 * in training only, that of the object it was matched with: of an "ffn" layer MOE_WINDOW_LAST_EVAL holds zeros. capacity and
 * count in elements. Errors: MOE_ERR_UNSUPPORTED (moe_layer_info.classes is 0). Since 0.1 */
MOE_API moe_status moe_session_class_routing(const moe_session *session, int32_t layer, int32_t window, int64_t *counts,
                                             size_t capacity, size_t *count);

/* Fills `counts` with E x E tokens, row-major and symmetric: how many tokens chose both experts; the diagonal holds each expert's
 * own tokens. At balance, entry (a, b) is about tokens * k (k - 1) / (E (E - 1)). capacity and count in elements. Since 0.1 */
MOE_API moe_status moe_session_coactivation(const moe_session *session, int32_t layer, int32_t window, int64_t *counts,
                                            size_t capacity, size_t *count);

/* Starts MOE_WINDOW_SINCE_RESET anew for every layer. Since 0.1 */
MOE_API moe_status moe_session_stats_reset(moe_session *session);

/* ---------------------------------------------------------------------------------------------------------------- Runs
 * A moe_run is a whole training in a folder: config.yml (resolved), train.log, metrics.jsonl, metrics.csv, checkpoints/. Killed
 * at any moment and opened again, it goes on from its last checkpoint and ends with the same bits. */
typedef struct moe_run moe_run;

enum {
  MOE_RUN_AUTO = 0,   /* new when the folder holds no run, else resume */
  MOE_RUN_NEW = 1,    /* the folder must not hold a run */
  MOE_RUN_RESUME = 2  /* the folder must hold a run; `config` may be NULL: its own config.yml is used */
};

/* Settings that belong to the process and not to the experiment. */
typedef struct moe_run_options {
  uint32_t struct_size;
  int32_t mode;      /* MOE_RUN_* */
  moe_log_fn log_fn; /* warnings and notes; NULL: only into train.log */
  void *log_user;
} moe_run_options;
#define MOE_RUN_OPTIONS_INIT {sizeof(moe_run_options), 0, NULL, NULL}

/* Makes or resumes the run in folder `dir`. From its first checkpoint on the config must be the one it was made with, except for
 * keys that do not change the result so far (length, early stop, log, checkpoint and evaluation intervals, workers, cache,
 * data.max_broken); the message names the first that differs. Relative paths, also the config's, are taken from the folder that
 * the process is in and must go on to be right. options: NULL for the defaults. Errors: MOE_ERR_STATE (folder in use, with logs or
 * checkpoints of something else, or against `mode`), MOE_ERR_CONFIG, MOE_ERR_IO, and those of session and loader. Since 0.1 */
MOE_API moe_status moe_run_open(const moe_config *config, const char *dir, const moe_run_options *options, moe_run **out);

/* Kinds of event. */
enum {
  MOE_EVENT_STEP = 1,       /* an optimizer step worth a line (every train.log_every) */
  MOE_EVENT_EPOCH = 2,      /* an epoch is over */
  MOE_EVENT_EVAL = 3,       /* an evaluation is over; `metric` is its first number */
  MOE_EVENT_CHECKPOINT = 4, /* a checkpoint was written */
  MOE_EVENT_DONE = 5        /* the training is complete; the next call returns MOE_END */
};

/* What happened. */
typedef struct moe_run_event {
  uint32_t struct_size;
  int32_t kind;           /* MOE_EVENT_* */
  int64_t epoch;          /* from 1 */
  int64_t epochs;         /* planned */
  int64_t step;           /* optimizer steps so far */
  int64_t steps;          /* planned in all */
  double loss;            /* of the last step */
  double metric;          /* EVAL: the first number; DONE: the best one; else NaN */
  double images_per_second;
  double load_seconds;    /* waiting for data, mean per step since the last STEP event */
  double step_seconds;    /* computing, mean per step since the last STEP event */
  double seconds_left;    /* estimate for the whole run */
  char text[512];         /* one line for a person */
} moe_run_event;
#define MOE_RUN_EVENT_INIT {sizeof(moe_run_event), 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, {0}}

/* Works until the next event and describes it. MOE_END when the run is complete. MOE_ERR_CANCELLED after a stop request: a
 * checkpoint of the last whole step has been written and the run can be opened again. After any other error the run folder
 * and its older checkpoints are usable as well. Since 0.1 */
MOE_API moe_status moe_run_next(moe_run *run, moe_run_event *event);

/* Asks moe_run_next() to finish the step at hand, write a checkpoint and return MOE_ERR_CANCELLED. Any thread, also from a
 * signal handler. Since 0.1 */
MOE_API moe_status moe_run_request_stop(moe_run *run);

/* The run's session, to ask for statistics or predictions between two moe_run_next() calls. It belongs to the run and must not
 * be freed. Since 0.1 */
MOE_API moe_status moe_run_session(moe_run *run, moe_session **out);

/* Closes the files. Work since the last checkpoint is lost; moe_run_next() writes one before MOE_END. Since 0.1 */
MOE_API void moe_run_close(moe_run *run);

#ifdef __cplusplus
}
#endif

#endif
