"""
Trains mixture-of-experts models: a thin layer over libmoe's C interface, `moe.h`.

    run = Moe.Run(Moe.Config("configs/rtdetr/synthetic.yml"), "runs/first")   # new, or resumes what is there
    for event in run
        println(event.text)
    end

What every call means, with shapes and units, stands in moe.h; this module keeps its names. An error is an exception of a type for
its status (`ShapeError`, `ConfigError` ...), all `<: MoeError`, with one line of text. Handles are freed by `close`, or by the garbage
collector, which does not see how much memory stands behind them. Calls on one handle from several tasks wait for each other. Arrays
are read or written during the call only.
"""
module Moe

using Libdl: dlopen

include("lib.jl")
include("errors.jl")
include("handle.jl")
include("library.jl")
include("config.jl")
include("data.jl")
include("batch.jl")
include("loader.jl")
include("session.jl")
include("experts.jl")
include("run.jl")

function __init__()
    LOG_CALLBACK[] = @cfunction(collect_line, Cvoid, (Int32, Cstring, Ptr{Cvoid}))
    return nothing
end

end
