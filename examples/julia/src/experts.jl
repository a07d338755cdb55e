# What every mixture layer of a session did. Layers and experts count from 1, as everything in Julia.

"`:last_step`, `:since_reset`, `:lifetime` or `:last_eval`."
const WINDOWS = Dict(:last_step => MOE_WINDOW_LAST_STEP, :since_reset => MOE_WINDOW_SINCE_RESET,
    :lifetime => MOE_WINDOW_LIFETIME, :last_eval => MOE_WINDOW_LAST_EVAL)

function window_of(name)
    haskey(WINDOWS, name) || throw(InvalidArgumentError("window: expected one of $(join(keys(WINDOWS), ", ")), got $name", 0, 0))
    return WINDOWS[name]
end

# The fields of a C struct of numbers by their names, without struct_size.
numbers(c::T) where {T} = NamedTuple(name => getfield(c, name) for name in fieldnames(T) if name != :struct_size)

"Number of mixture layers; 0 for a dense model."
function layer_count(s::Session)
    count = Ref{Int32}(0)
    call(() -> moe_session_layer_count(s.ptr, count), s.handle)
    return Int(count[])
end

function layer_info(s::Session, layer)
    found = zeroed(moe_layer_info)
    call(() -> moe_session_layer_info(s.ptr, layer - 1, found), s.handle)
    c = found[]
    return (name = text_of(c.name), kind = text_of(c.kind), unit = text_of(c.unit), experts = Int(c.experts), top_k = Int(c.top_k),
        classes = Int(c.classes))
end

"Label of an expert, such as \"car\"."
expert_name(s::Session, layer, expert) = read_text(s.handle) do buffer, capacity, needed
    moe_session_expert_name(s.ptr, layer - 1, expert - 1, buffer, capacity, needed)
end

"One entry per expert: tokens, computed, dropped, share, activation_rate, gate_mean, importance."
function expert_stats(s::Session, layer, window = :last_step)
    ask(stats, capacity, count) = moe_session_expert_stats(s.ptr, layer - 1, window_of(window), stats, capacity, count)
    return numbers.(read_array(ask, moe_expert_stat, s.handle))
end

"Numbers of the layer as a whole; moe.h gives the formulas."
function layer_stats(s::Session, layer, window = :last_step)
    found = zeroed(moe_layer_stat)
    call(() -> moe_session_layer_stats(s.ptr, layer - 1, window_of(window), found), s.handle)
    return numbers(found[])
end

# A row-major table of `columns` as a matrix.
matrix(counts, columns) = permutedims(reshape(counts, columns, :))

"How often a token of class y went to expert e: entry [y, e]."
function class_routing(s::Session, layer, window = :last_step)
    ask(counts, capacity, count) = moe_session_class_routing(s.ptr, layer - 1, window_of(window), counts, capacity, count)
    return matrix(read_array(ask, Int64, s.handle), layer_info(s, layer).experts)
end

"How many tokens chose both experts: entry [a, b]; the diagonal holds each expert's own tokens."
function coactivation(s::Session, layer, window = :last_step)
    ask(counts, capacity, count) = moe_session_coactivation(s.ptr, layer - 1, window_of(window), counts, capacity, count)
    return matrix(read_array(ask, Int64, s.handle), layer_info(s, layer).experts)
end

"Starts the window `:since_reset` anew."
function reset_stats!(s::Session)
    call(() -> moe_session_stats_reset(s.ptr), s.handle)
    return s
end
