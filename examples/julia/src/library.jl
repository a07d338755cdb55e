# The library as a whole: finding and checking it, versions, threads.

const LIBRARY_CHECKED = Ref(false)

# At the first call: loads the library, from the file that MOE_LIBRARY names or as libmoe.so.0 from where the loader searches, and
# compares it with the header that lib.jl was written for. Loaded once, it is what `@ccall libmoe...` finds.
function ensure_library()
    LIBRARY_CHECKED[] && return nothing
    path = get(ENV, "MOE_LIBRARY", libmoe)
    if dlopen(path; throw_error = false) === nothing
        throw(VersionError("$path: expected the library of libmoe, got none that can be loaded; set MOE_LIBRARY", 0, 0))
    end
    abi, version = moe_abi_version(), moe_version()
    abi == MOE_ABI || throw(VersionError("$path: expected binary interface $MOE_ABI, got $abi", 0, 0))
    version >= MOE_VERSION || throw(VersionError("$path: expected version $MOE_VERSION or later, got $version", 0, 0))
    LIBRARY_CHECKED[] = true
    return nothing
end

"Version of the loaded library."
function version()
    ensure_library()
    return VersionNumber(unsafe_string(moe_version_string()))
end

"Name of a status in moe.h, such as \"MOE_ERR_SHAPE\"."
function status_name(status)
    ensure_library()
    return unsafe_string(moe_status_name(status))
end

"A JSON object: version, abi, torch, threads, cuda, tasks, libraries and more."
build_info() = read_text((buffer, capacity, needed) -> moe_build_info(buffer, capacity, needed))

"Number of threads, 1 to 1024, for the whole process; before the first session."
function set_threads(threads)
    call(() -> moe_set_threads(threads))
    return nothing
end
