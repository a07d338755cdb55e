"""
    Loader(config, split)
    Loader(config, files::Vector)

Reads a data set of the config, "train" or "val", or image files for prediction, in worker threads. The order of its batches depends
on the seed and the epoch alone.
"""
struct Loader
    handle::Handle{moe_loader}
end

Loader(config::Config, split::AbstractString) =
    Loader(create(out -> moe_loader_create(config.handle.ptr, split, out), moe_loader, moe_loader_free, config.handle))

function Loader(config::Config, files::AbstractVector{<:AbstractString})
    names = String.(files)
    make(out) = GC.@preserve names begin
        pointers = Cstring[Base.unsafe_convert(Cstring, name) for name in names]
        moe_loader_create_files(config.handle.ptr, pointers, length(pointers), out)
    end
    return Loader(create(make, moe_loader, moe_loader_free, config.handle))
end

"Fills the batch with the next one; false after the last one of the epoch, and the next call begins the next epoch."
next!(loader::Loader, batch::Batch) =
    call(() -> moe_loader_next(loader.handle.ptr, batch.handle.ptr), loader.handle, batch.handle)

"Iterates over the rest of the epoch: a batch of its own every time."
Base.iterate(loader::Loader, state = nothing) = (batch = Batch(); next!(loader, batch) ? (batch, nothing) : (close(batch); nothing))
Base.IteratorSize(::Type{Loader}) = Base.SizeUnknown()
Base.eltype(::Type{Loader}) = Batch

"Tells `f(level, line)` of samples that cannot be read, odd annotations and what the split holds; `nothing` for silence."
function set_log(f, loader::Loader)
    log = LogLines(f)
    call(loader.handle) do
        status = moe_loader_set_log(loader.handle.ptr, log_fn(log), log_user(log))
        status == MOE_OK && (loader.handle.log = log)
        return status
    end
    return nothing
end

"Samples in the split and batches in one epoch."
function sizes(loader::Loader)
    samples, batches = Ref{Int64}(0), Ref{Int64}(0)
    call(() -> moe_loader_size(loader.handle.ptr, samples, batches), loader.handle)
    return (samples = samples[], batches = batches[])
end

"File name of the sample with this image id."
file_name(loader::Loader, image_id) =
    read_text((buffer, capacity, needed) -> moe_loader_file_name(loader.handle.ptr, image_id, buffer, capacity, needed), loader.handle)

"Samples that could not be read since the loader was made."
function broken(loader::Loader)
    count = Ref{Int64}(0)
    call(() -> moe_loader_broken(loader.handle.ptr, count), loader.handle)
    return count[]
end

Base.close(loader::Loader) = close_handle(loader.handle)
