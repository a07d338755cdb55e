# A whole training in a folder, from a settings file. Run again, it resumes. Ctrl-C writes a checkpoint and exits with 130.
#
#   julia --project=. train.jl CONFIG FOLDER [KEY=VALUE ...]

using Moe

function settings(path, overrides)
    config = Moe.Config(path)
    for override in overrides
        occursin('=', override) || throw(Moe.InvalidArgumentError("expected KEY=VALUE, got $override", 0, 0))
        key, value = split(override, '='; limit = 2)
        config[key] = value
    end
    return config
end

function stop(run)
    Moe.request_stop(run)
    try
        foreach(event -> println(event.text), run)
    catch error
        error isa Moe.CancelledError || rethrow()
        println(error.text)
    end
    close(run)
    exit(130)
end

function train(path, folder, overrides)
    run = Moe.Run(settings(path, overrides), folder)
    try
        foreach(event -> println(event.text), run)
    catch error
        error isa InterruptException ? stop(run) : rethrow()
    end
    println("digest ", Moe.session(run)["state.digest"])
    close(run)
end

function main(arguments)
    length(arguments) >= 2 || (println(stderr, "usage: train.jl CONFIG FOLDER [KEY=VALUE ...]"); exit(2))
    Base.exit_on_sigint(false)
    try
        train(arguments[1], arguments[2], arguments[3:end])
    catch error
        error isa Moe.MoeError || rethrow()
        println(stderr, error.text)
        exit(1)
    end
end

main(ARGS)
