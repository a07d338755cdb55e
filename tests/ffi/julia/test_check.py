#!/usr/bin/env python3
"""Proves that check.py fires: changes one thing of the header or the module at a time and expects a problem that names it.

usage: test_check.py MOE_H JULIA_SRC_FOLDER
"""
import sys

import check

# What is changed, its text, the text in its place, and a part of the problem that must be told.
MUTATIONS = [
    ("lib.jl", "moe_session_step(session::Ptr{moe_session}, out::Ref{moe_step_info})",
     "moe_session_step(session::Ptr{moe_session})", "moe_session_step"),
    ("lib.jl", "out::Ref{moe_step_info})::moe_status", "out::Ref{moe_run_event})::moe_status", "moe_session_step: expected out"),
    ("lib.jl", "moe_config_set(config::Ptr{moe_config}, key::Cstring, value::Cstring)",
     "moe_config_set(config::Ptr{moe_config}, value::Cstring, key::Cstring)", "moe_config_set"),
    ("lib.jl", "moe_set_threads(threads::Int32)", "moe_set_threads(threads::Int64)", "moe_set_threads: expected threads"),
    ("lib.jl", "min_score::Float64", "min_score::Float32", "moe_session_draw: expected min_score"),
    ("lib.jl", "@ccall libmoe.moe_version()::Int32", "@ccall libmoe.moe_version()::Int64", "moe_version: expected to return Int32"),
    ("lib.jl", "@ccall libmoe.moe_batch_clear(", "@ccall libmoe.moe_batch_free(", "moe_batch_clear"),
    ("lib.jl", "@ccall libmoe.moe_batch_clear(batch::Ptr{moe_batch})",
     "@ccall libmoe.moe_batch_clear(batch::Ptr{moe_loader})", "moe_batch_clear"),
    ("lib.jl", "moe_run_close(run) = @ccall libmoe.moe_run_close(run::Ptr{moe_run})::Cvoid", "", "moe_run_close: not declared"),
    ("lib.jl", "    top_k::Int32\n    classes::Int32\n", "    classes::Int32\n    top_k::Int32\n", "moe_layer_info"),
    ("lib.jl", "    grad_norm::Float64\n", "    grad_norm::Float32\n", "moe_step_info"),
    ("lib.jl", "NTuple{512,UInt8}", "NTuple{256,UInt8}", "moe_run_event"),
    ("lib.jl", "    class_nmi::Float64\n", "", "moe_layer_stat"),
    ("lib.jl", "const MOE_ERR_SHAPE = Int32(8)", "const MOE_ERR_SHAPE = Int32(9)", "MOE_ERR_SHAPE: expected 8, got 9"),
    ("lib.jl", "const MOE_ABI = Int32(0)", "const MOE_ABI = Int32(1)", "MOE_ABI"),
    ("lib.jl", "const moe_status = Int32", "const moe_status = Int64", "expected the types"),
    ("Moe.jl", "(Int32, Cstring, Ptr{Cvoid})", "(Int64, Cstring, Ptr{Cvoid})", "@cfunction"),
    ("handle.jl", "level::Int32, message::Cstring", "level::Int32, message::Ptr{Cvoid}", "the callback's method"),
    ("session.jl", "moe_session_discard(s.ptr)", "0", "moe_session_discard: used and listed"),
    ("errors.jl", "(MOE_ERR_NUMERIC, :NumericError", "(MOE_ERR_DATA, :NumericError", "MOE_ERR_NUMERIC: has no exception type"),
    ("run.jl", "moe_run_session(run.handle.ptr, out)", "(@ccall other.moe_run_session()::Int32)", "one elsewhere"),
    ("moe.h", "MOE_END = 1", "MOE_END = 2", "MOE_END: expected 2, got 1"),
    ("moe.h", "  double grad_norm; ", "  int32_t added;\n  double grad_norm; ", "moe_step_info"),
    ("moe.h", "moe_status moe_set_threads(int32_t threads)",
     "moe_status moe_set_threads(int32_t threads, int32_t mode)", "moe_set_threads: expected 2 arguments"),
    ("moe.h", "MOE_API void moe_run_close(moe_run *run);",
     "MOE_API void moe_run_close(moe_run *run);\nMOE_API moe_status moe_new(void);", "moe_new: not declared"),
    ("moe.h", "(*moe_log_fn)(int32_t level, ", "(*moe_log_fn)(void *user_data, int32_t level, ", "@cfunction"),
]


def fires(header, files, name, old, new, part):
    texts = files | {"moe.h": header}
    if texts[name].count(old) == 0:
        return f"{name}: nothing to change: {old!r}"
    texts[name] = texts[name].replace(old, new)
    problems, _ = check.check(texts.pop("moe.h"), texts)
    if not any(part in problem for problem in problems):
        return f"{name}: {old!r} -> {new!r}: expected a problem with {part!r}, got {problems}"
    return None


def main(header_path, folder):
    header, files = check.read(header_path, folder)
    silent = [found for mutation in MUTATIONS if (found := fires(header, files, *mutation))]
    print("\n".join(silent) or f"{len(MUTATIONS)} changes, each found")
    return bool(silent)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
