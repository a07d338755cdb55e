# Generated data sets, and a look through one's own.

"""
    generate_data(kind, root; train_images = 400, val_images = 100, width = 640, height = 384, threads = 2, seed = 0, log = nothing)

Writes a generated data set ("traffic") into a folder, which is created or empty. The same options give the same bytes.
"""
function generate_data(kind, root; train_images = 400, val_images = 100, width = 640, height = 384, threads = 2, seed = 0,
        log = nothing)
    lines = LogLines(log)
    options = Ref(moe_generate_options(sizeof(moe_generate_options), train_images, val_images, width, height, threads, seed,
        log_fn(lines), log_user(lines)))
    GC.@preserve lines call(() -> moe_data_generate(kind, root, options))
    tell(lines)
    return nothing
end

"""
    check_data(config; list = nothing, log = nothing)

Looks once through the detection data set that the config names; `log(level, line)` is told a line a problem and what each split holds.
list: a text file that is written with the pictures to leave out, for the key data.exclude.
"""
function check_data(config::Config; list = nothing, log = nothing)
    lines, found = LogLines(log), zeroed(moe_data_report)
    GC.@preserve lines begin
        path = list === nothing ? C_NULL : list
        call(() -> moe_data_check(config.handle.ptr, path, log_fn(lines), log_user(lines), found), config.handle)
    end
    tell(lines)
    c = found[]
    return (pictures = c.pictures, objects = c.objects, problems = c.problems, excluded = c.excluded)
end

"""
    evaluate_coco(annotations, detections; log = nothing)

Evaluates a file of detections against a file of annotations, both in COCO's JSON, whatever program made them: pairs of name and value.
"""
function evaluate_coco(annotations, detections; log = nothing)
    lines = LogLines(log)
    ask(metrics, capacity, count) =
        moe_coco_evaluate(annotations, detections, log_fn(lines), log_user(lines), metrics, capacity, count)
    found = GC.@preserve lines read_array(ask, moe_metric)
    tell(lines)
    return pairs_of(found)
end

pairs_of(metrics) = [text_of(m.name) => m.value for m in metrics]
