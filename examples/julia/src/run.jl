const RUN_MODES = Dict(:auto => MOE_RUN_AUTO, :new => MOE_RUN_NEW, :resume => MOE_RUN_RESUME)

const EVENT_KINDS = Dict(MOE_EVENT_STEP => :step, MOE_EVENT_EPOCH => :epoch, MOE_EVENT_EVAL => :eval,
    MOE_EVENT_CHECKPOINT => :checkpoint, MOE_EVENT_DONE => :done)

"""
    Run(config, folder; mode = :auto, log = nothing)

A whole training in a folder. Killed at any moment and opened again, it goes on from its last checkpoint and ends with the same bits.
mode: `:auto` (new, or resumes what is there), `:new`, `:resume`; then `config` may be `nothing`. Iterates over its events.
"""
struct Run
    handle::Handle{moe_run}
end

function Run(config::Union{Config,Nothing}, folder::AbstractString; mode = :auto, log = nothing)
    haskey(RUN_MODES, mode) || throw(InvalidArgumentError("mode: expected :auto, :new or :resume, got $mode", 0, 0))
    lines = LogLines(log)
    options = Ref(moe_run_options(sizeof(moe_run_options), RUN_MODES[mode], log_fn(lines), log_user(lines)))
    locked = config === nothing ? () : (config.handle,)
    make(out) = moe_run_open(config === nothing ? C_NULL : config.handle.ptr, folder, options, out)
    return Run(create(make, moe_run, moe_run_close, locked...; log = lines))
end

"Works until the next event; `nothing` when the run is complete. A stop request makes it throw a `CancelledError`."
function next!(run::Run)
    found = zeroed(moe_run_event)
    call(() -> moe_run_next(run.handle.ptr, found), run.handle) || return nothing
    c = found[]
    return (kind = get(EVENT_KINDS, c.kind, c.kind), epoch = c.epoch, epochs = c.epochs, step = c.step, steps = c.steps, loss = c.loss,
        metric = c.metric, images_per_second = c.images_per_second, load_seconds = c.load_seconds, step_seconds = c.step_seconds,
        seconds_left = c.seconds_left, text = text_of(c.text))
end

Base.iterate(run::Run, state = nothing) = (event = next!(run)) === nothing ? nothing : (event, nothing)
Base.IteratorSize(::Type{Run}) = Base.SizeUnknown()

"Asks the call in progress, or the next one, to finish its step, write a checkpoint and throw a `CancelledError`. It does not wait."
function request_stop(run::Run)
    GC.@preserve run (run.handle.ptr == C_NULL || moe_run_request_stop(run.handle.ptr))
    return nothing
end

"The run's session, to ask for statistics between two events. It ends with the run."
function session(run::Run)
    out = Ref{Ptr{moe_session}}(C_NULL)
    call(() -> moe_run_session(run.handle.ptr, out), run.handle)
    return Session(run.handle, out[])
end

Base.close(run::Run) = close_handle(run.handle)
