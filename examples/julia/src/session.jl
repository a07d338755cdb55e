"""
    Session(config; log = nothing)
    Session(path; log = nothing)

A model, its optimizer and its statistics: new, or from a checkpoint file or run folder. `feed!` queues micro-batches, `step!` computes
all of them and commits everything together, or throws and leaves everything as it was.
"""
struct Session{T}
    handle::Handle{T} # its own, or that of the run it belongs to
    ptr::Ptr{moe_session}
end

function new_session(make, log, handles...)
    lines = LogLines(log)
    options = Ref(moe_session_options(sizeof(moe_session_options), 0, log_fn(lines), log_user(lines)))
    handle = create(out -> make(options, out), moe_session, moe_session_free, handles...; log = lines)
    return Session(handle, handle.ptr)
end

Session(config::Config; log = nothing) =
    new_session((options, out) -> moe_session_create(config.handle.ptr, options, out), log, config.handle)
Session(path::AbstractString; log = nothing) = new_session((options, out) -> moe_session_open(path, options, out), log)

"A copy of the session's settings."
config(s::Session) = Config(create(out -> moe_session_config(s.ptr, out), moe_config, moe_config_free, s.handle))

"One line per tensor that `feed!` expects: name, type, shape, meaning."
describe_batch(s::Session) =
    read_text((buffer, capacity, needed) -> moe_session_describe_batch(s.ptr, buffer, capacity, needed), s.handle)

"Checks a micro-batch and queues it; the batch may be changed afterwards."
function feed!(s::Session, batch::Batch)
    call(() -> moe_session_feed(s.ptr, batch.handle.ptr), s.handle, batch.handle)
    return s
end

"Trains on the queued window, then empties it: all or nothing."
function step!(s::Session)
    done = zeroed(moe_step_info)
    call(() -> moe_session_step(s.ptr, done), s.handle)
    c = done[]
    terms = [text_of(c.loss_name[i]) => c.loss_value[i] for i in 1:c.loss_count]
    return (step = c.step, loss = c.loss, terms = terms, grad_norm = c.grad_norm, lr = c.lr, seconds = c.seconds,
        samples = c.samples, micro_batches = c.micro_batches, skipped = c.skipped != 0)
end

"Drops the queued window."
function discard!(s::Session)
    call(() -> moe_session_discard(s.ptr), s.handle)
    return s
end

"Runs the model without training it; a batch of named results."
function predict(s::Session, batch::Batch)
    out = Batch()
    call(() -> moe_session_predict(s.ptr, batch.handle.ptr, out.handle.ptr), s.handle, batch.handle, out.handle)
    return out
end

"Goes through one epoch of a \"val\" loader: pairs of name and value; the first one is what `best` is chosen by."
function evaluate(s::Session, loader::Loader)
    ask(metrics, capacity, count) = moe_session_evaluate(s.ptr, loader.handle.ptr, metrics, capacity, count)
    return pairs_of(read_array(ask, moe_metric, s.handle, loader.handle))
end

"Writes a PNG file of sample `index` (from 1) of a batch with its predictions."
function draw(s::Session, batch::Batch, prediction::Batch, index, path; min_score = 0.5)
    call(s.handle, batch.handle, prediction.handle) do
        moe_session_draw(s.ptr, batch.handle.ptr, prediction.handle.ptr, index - 1, min_score, path)
    end
    return nothing
end

"Writes a checkpoint; the file appears whole or not at all."
function save(s::Session, path)
    call(() -> moe_session_save(s.ptr, path), s.handle)
    return nothing
end

"Writes the weights alone for other programs. format: \"own\" or, for rtdetr without experts, \"transformers\"."
function export_weights(s::Session, format, path)
    call(() -> moe_session_export(s.ptr, format, path), s.handle)
    return nothing
end

"Restores what `save` wrote; on any error the session is unchanged."
function load!(s::Session, path)
    call(() -> moe_session_load(s.ptr, path), s.handle)
    return s
end

"A value as text: \"state.step\", \"state.digest\", \"model.summary\" ...; moe.h lists the keys."
Base.getindex(s::Session, key) = read_text((buffer, capacity, needed) -> moe_session_get(s.ptr, key, buffer, capacity, needed), s.handle)

"Changes a value while training: \"state.epoch\", \"optimizer.groups.NAME.lr\"."
function Base.setindex!(s::Session, value, key)
    call(() -> moe_session_set(s.ptr, key, string(value)), s.handle)
    return s
end

# A stop request does not wait for the call in progress; whoever asks keeps the handle open meanwhile.
function request_stop(s::Session)
    GC.@preserve s (s.handle.ptr == C_NULL || moe_session_request_stop(s.ptr))
    return nothing
end

"Frees the session. That of a run ends with the run; closing it does nothing."
Base.close(s::Session{moe_session}) = close_handle(s.handle)
Base.close(::Session) = nothing
