"Raw bits of a bfloat16."
primitive type BFloat16Bits 16 end

const DTYPES = Dict{DataType,moe_dtype}(
    Int8 => MOE_I8, Int16 => MOE_I16, Int32 => MOE_I32, Int64 => MOE_I64, UInt8 => MOE_U8, Float16 => MOE_F16,
    Float32 => MOE_F32, Float64 => MOE_F64, BFloat16Bits => MOE_BF16, Bool => MOE_BOOL)

const ELEMENTS = Dict(dtype => element for (element, dtype) in DTYPES)

"""
    Batch()

One micro-batch: named tensors. `batch["images"] = array` copies an array in, `batch["boxes"]` copies a tensor out. Indices mean the
same on both sides: `array[i, c, y, x]` is pixel (y, x) of channel c of image i. Julia keeps the first index together in memory and
libmoe the last, so a `PermutedDimsArray(a, (4, 3, 2, 1))` of an array `a[x, y, c, i]` is the quickest to copy.
"""
struct Batch
    handle::Handle{moe_batch}
end

Batch() = Batch(create(moe_batch_create, moe_batch, moe_batch_free))

const InMemory{T,N} = Union{StridedArray{T,N},PermutedDimsArray{T,N}}

# Ranges, BitArrays and the like have no memory to point at.
Base.setindex!(batch::Batch, array::AbstractArray, name::AbstractString) = setindex!(batch, Array(array), name)

function Base.setindex!(batch::Batch, array::InMemory{T,N}, name::AbstractString) where {T,N}
    haskey(DTYPES, T) || throw(DTypeError("$name: expected elements of $(join(keys(DTYPES), ", ")), got $T", 0, 0))
    shape, steps = collect(Int64, size(array)), collect(Int64, strides(array))
    GC.@preserve array shape steps begin
        view = Ref(moe_tensor_view(sizeof(moe_tensor_view), DTYPES[T], 0, 0, N, 0, pointer(array), pointer(shape), pointer(steps), 0))
        call(() -> moe_batch_set(batch.handle.ptr, name, view), batch.handle)
    end
    return batch
end

"Element type and shape of a tensor."
function info(batch::Batch, name::AbstractString)
    found = zeroed(moe_tensor_info)
    call(() -> moe_batch_info(batch.handle.ptr, name, found), batch.handle)
    return tensor_info(found[])
end

tensor_info(c::moe_tensor_info) =
    (name = text_of(c.name), element = ELEMENTS[c.dtype], shape = Int.(c.shape[1:c.ndim]), bytes = Int(c.bytes))

# The tensor is read under the lock that its shape was read under: another task could replace it in between.
function Base.getindex(batch::Batch, name::AbstractString)
    found, data = zeroed(moe_tensor_info), Ref{Any}()
    call(batch.handle) do
        status = moe_batch_info(batch.handle.ptr, name, found)
        status == MOE_OK || return status
        about = tensor_info(found[])
        data[] = Array{about.element}(undef, reverse(about.shape)...)
        GC.@preserve data moe_batch_read(batch.handle.ptr, name, pointer(data[]), about.bytes, Ref{Csize_t}(0))
    end
    return ndims(data[]) < 2 ? data[] : permutedims(data[], ndims(data[]):-1:1)
end

function Base.length(batch::Batch)
    count = Ref{Int32}(0)
    call(() -> moe_batch_count(batch.handle.ptr, count), batch.handle)
    return Int(count[])
end

"Names of the tensors in the order of their setting."
function Base.keys(batch::Batch)
    names, count, found = String[], Ref{Int32}(0), zeroed(moe_tensor_info)
    call(batch.handle) do
        status = moe_batch_count(batch.handle.ptr, count)
        for index in 0:count[]-1
            status == MOE_OK || break
            status = moe_batch_info_at(batch.handle.ptr, index, found)
            push!(names, text_of(found[].name))
        end
        return status
    end
    return names
end

function Base.empty!(batch::Batch)
    call(() -> moe_batch_clear(batch.handle.ptr), batch.handle)
    return batch
end

Base.close(batch::Batch) = close_handle(batch.handle)
