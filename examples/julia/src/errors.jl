# An exception type for every status, and the text of a call that did not succeed.

abstract type MoeError <: Exception end

# Status, exception type, what it means.
const ERROR_TYPES = Dict{moe_status,DataType}()

for (status, name, meaning) in (
    (MOE_ERR_INVALID_ARGUMENT, :InvalidArgumentError, "a negative count, an unknown name or constant"),
    (MOE_ERR_OUT_OF_MEMORY, :MemoryError, "an allocation failed; nothing was changed"),
    (MOE_ERR_NOT_FOUND, :NotFoundError, "a file, key or name does not exist"),
    (MOE_ERR_IO, :FileError, "reading or writing failed"),
    (MOE_ERR_PARSE, :ParseError, "text is not well formed YAML or JSON"),
    (MOE_ERR_CONFIG, :ConfigError, "a setting is unknown, of the wrong type or out of range"),
    (MOE_ERR_SHAPE, :ShapeError, "a tensor has the wrong number of dimensions, sizes or strides"),
    (MOE_ERR_DTYPE, :DTypeError, "a tensor has the wrong element type"),
    (MOE_ERR_DEVICE, :DeviceError, "the device does not exist or is not supported"),
    (MOE_ERR_STATE, :StateError, "not possible now: step without feed, a closed handle, a run folder in use"),
    (MOE_ERR_VERSION, :VersionError, "a file or library of a version that does not fit, or no library"),
    (MOE_ERR_UNSUPPORTED, :UnsupportedError, "known, but this task cannot do it"),
    (MOE_ERR_CANCELLED, :CancelledError, "stopped before the work was done; nothing was changed"),
    (MOE_ERR_BUFFER_TOO_SMALL, :BufferTooSmallError, "a buffer cannot hold the result"),
    (MOE_ERR_NUMERIC, :NumericError, "a loss, gradient or input is not finite"),
    (MOE_ERR_DATA, :DataError, "a data set, image, label or checkpoint holds something wrong"),
    (MOE_ERR_INTERNAL, :InternalError, "a defect of the library: please report the text"),
)
    @eval begin
        @doc $meaning struct $name <: MoeError
            text::String # one line: where, what was expected, what came
            line::Int    # of a file, from 1; 0 when there is none
            column::Int  # from 1; 0 when there is none
        end
        ERROR_TYPES[$status] = $name
    end
end

Base.showerror(io::IO, e::MoeError) = print(io, nameof(typeof(e)), ": ", e.text)

make_error(status, text, line = 0, column = 0) = get(ERROR_TYPES, status, InternalError)(text, line, column)

# Text of a C array of characters.
text_of(chars) = String(collect(UInt8, Iterators.takewhile(!iszero, chars)))

# The calling thread's last error. Nothing between the call and this may switch tasks: the next thread has another error.
function last_error(status)
    info = zeroed(moe_error_info)
    moe_last_error(info)
    return make_error(status, text_of(info[].text), Int(info[].line), Int(info[].column))
end

# A struct of zeros whose first member, struct_size, is set.
function zeroed(::Type{T}) where {T}
    ref = Ref{T}()
    GC.@preserve ref begin
        bytes = Ptr{UInt8}(Base.unsafe_convert(Ptr{T}, ref))
        foreach(i -> unsafe_store!(bytes, 0x00, i), 1:sizeof(T))
        unsafe_store!(Ptr{UInt32}(bytes), UInt32(sizeof(T)))
    end
    return ref
end
