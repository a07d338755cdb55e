# What every object of the library has in common: a pointer, a lock, and the lines that its log callback collected.

# Lines that the library logs during a call are given to the user's function after it: a function that prints would switch tasks,
# and a task must not move to another thread in the middle of a call. An exception in that function is therefore an ordinary one.
mutable struct LogLines
    f::Any # (level, line) -> anything; nothing: silent
    lines::Vector{Tuple{Int32,String}}
    LogLines(f) = new(f, Tuple{Int32,String}[])
end

const LOG_CALLBACK = Ref{Ptr{Cvoid}}(C_NULL) # made when the module is loaded

function collect_line(level::Int32, message::Cstring, user::Ptr{Cvoid})::Cvoid
    try
        log = unsafe_pointer_to_objref(user)::LogLines
        push!(log.lines, (level, unsafe_string(message)))
    catch # no memory for a line: it is lost, the call goes on
    end
    return nothing
end

log_fn(log::LogLines) = log.f === nothing ? C_NULL : LOG_CALLBACK[]
log_user(log::LogLines) = pointer_from_objref(log)

function tell(log::LogLines)
    lines = copy(log.lines)
    empty!(log.lines)
    foreach(((level, line),) -> log.f(get(LEVELS, level, level), line), lines)
end

const LEVELS = Dict(MOE_LOG_DEBUG => :debug, MOE_LOG_INFO => :info, MOE_LOG_WARNING => :warn, MOE_LOG_ERROR => :error)

const HANDLE_COUNT = Threads.Atomic{Int}(0)

# A pointer of the library. Objects that share a state there, a run and its session, share the handle.
mutable struct Handle{T}
    ptr::Ptr{T} # C_NULL when closed
    free::Any
    id::Int # order of locking
    lock::ReentrantLock
    log::LogLines
    function Handle{T}(ptr, free, log = LogLines(nothing)) where {T}
        handle = new{T}(ptr, free, Threads.atomic_add!(HANDLE_COUNT, 1), ReentrantLock(), log)
        return finalizer(release!, handle)
    end
end

# Runs in finalizers too: no lock, no task switch.
function release!(handle::Handle{T}) where {T}
    handle.ptr == C_NULL && return
    handle.free(handle.ptr)
    handle.ptr = Ptr{T}(C_NULL)
    return nothing
end

function close_handle(handle::Handle)
    lock(() -> release!(handle), handle.lock)
    return nothing
end

# Runs `f()`, one call of the library that returns its status, while the handles are locked and open. true, or false at the end of a
# sequence. An InterruptException waits until the call is over and the locks are given back.
function call(f, handles::Handle...)
    ensure_library()
    ordered = sort!(collect(Any, handles); by = handle -> handle.id)
    status = disable_sigint() do
        foreach(handle -> lock(handle.lock), ordered)
        try
            all(handle -> handle.ptr != C_NULL, ordered) || throw(StateError("expected an open handle, got one that is closed", 0, 0))
            code = f()
            code in (MOE_OK, MOE_END) || throw(last_error(code))
            code
        finally
            foreach(handle -> unlock(handle.lock), ordered)
        end
    end
    foreach(handle -> tell(handle.log), ordered)
    return status == MOE_OK
end

# A call that makes a handle: `make(out)` fills a Ref.
function create(make, ::Type{T}, free, handles::Handle...; log = LogLines(nothing)) where {T}
    out = Ref{Ptr{T}}(C_NULL)
    GC.@preserve log call(() -> make(out), handles...)
    handle = Handle{T}(out[], free, log)
    tell(log)
    return handle
end

# A call that fills a buffer with text: `ask(buffer, capacity, needed)`, once for the size, once for the text.
function read_text(ask, handles::Handle...)
    text, needed = UInt8[], Ref{Csize_t}(0)
    call(handles...) do
        status = ask(C_NULL, 0, needed)
        status == MOE_OK || return status
        resize!(text, needed[])
        return ask(text, length(text), needed)
    end
    return String(text[1:end-1])
end

# The same for an array of T.
function read_array(ask, ::Type{T}, handles::Handle...) where {T}
    items, count = T[], Ref{Csize_t}(0)
    call(handles...) do
        status = ask(C_NULL, 0, count)
        (status == MOE_OK && count[] > 0) || return status
        resize!(items, count[])
        return ask(items, length(items), count)
    end
    return items
end
