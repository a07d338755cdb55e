"""
    Config(path)
    Config(; text, name = nothing)

The settings of one task, from a YAML file or from text. Keys are dotted paths: `config["optimizer.lr"] = "1e-4"`.
"""
struct Config
    handle::Handle{moe_config}
end

Config(path::AbstractString) = Config(create(out -> moe_config_load(path, out), moe_config, moe_config_free))

function Config(; text::AbstractString, name = nothing)
    bytes = Vector{UInt8}(codeunits(text))
    make(out) = moe_config_parse(bytes, length(bytes), name === nothing ? C_NULL : name, out)
    return Config(create(make, moe_config, moe_config_free))
end

Base.copy(c::Config) = Config(create(out -> moe_config_clone(c.handle.ptr, out), moe_config, moe_config_free, c.handle))

"The value of a key as YAML text."
Base.getindex(c::Config, key) =
    read_text((buffer, capacity, needed) -> moe_config_get(c.handle.ptr, key, buffer, capacity, needed), c.handle)

"Overrides one key by a YAML scalar or flow list; on an error the config is unchanged."
function Base.setindex!(c::Config, value, key)
    call(() -> moe_config_set(c.handle.ptr, key, string(value)), c.handle)
    return c
end

"Where the value of a key came from: \"default\", \"file:line:column\" or \"override\"."
origin(c::Config, key) =
    read_text((buffer, capacity, needed) -> moe_config_origin(c.handle.ptr, key, buffer, capacity, needed), c.handle)

"All settings as YAML, defaults included; with `origins` each line names where its value came from."
function dump_yaml(c::Config; origins = false)
    flags = origins ? MOE_DUMP_ORIGINS : MOE_DUMP_VALUES
    return read_text((buffer, capacity, needed) -> moe_config_dump(c.handle.ptr, flags, buffer, capacity, needed), c.handle)
end

"The reference page of a task's settings in Markdown; of those that every task shares when no task is given."
describe_settings(task = nothing) =
    read_text((buffer, capacity, needed) -> moe_config_describe(task === nothing ? C_NULL : task, buffer, capacity, needed))

Base.close(c::Config) = close_handle(c.handle)
