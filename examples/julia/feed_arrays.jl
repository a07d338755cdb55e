# A program with its own data and its own loop: pictures with coloured boxes, made here, go as arrays into a session. Every step takes a
# window of two micro-batches; at the end it prints what each expert did.
#
#   julia --project=. feed_arrays.jl [STEPS]

using Moe
using Printf: @printf
using Random: Xoshiro

const BATCH, SIDE, BOXES, WINDOW = 4, 96, 2, 2

const SETTINGS = """
task: rtdetr
data: {classes: [red, green, blue], size: [$SIDE, $SIDE]}
model:
  backbone: {width: 0.25}
  hidden: 32
  encoder: {ffn: 64}
  decoder: {layers: 2, ffn: 64}
  denoising: {queries: 20}
  experts: {kind: class_partitioned, groups: by_class, top_k: 2, queries: 20}
optimizer: {lr: 2e-3}
"""

# Fills one micro-batch. images[x, y, channel, picture] in 0..1, handed over as [picture, channel, y, x]; boxes [N, 4] as cx, cy, w, h in
# shares of the side; labels [N]; the boxes of picture i are rows offsets[i] + 1 to offsets[i + 1].
function fill_scene!(batch, random)
    images = 0.4f0 .+ 0.2f0 .* rand(random, Float32, SIDE, SIDE, 3, BATCH)
    boxes, labels = zeros(Float32, BATCH * BOXES, 4), zeros(Int64, BATCH * BOXES)
    for row in 1:BATCH*BOXES
        label, w, h = rand(random, 0:2), rand(random, 16:39), rand(random, 16:39)
        left, top = rand(random, 0:SIDE-w), rand(random, 0:SIDE-h)
        picture = (row - 1) ÷ BOXES + 1
        images[left+1:left+w, top+1:top+h, :, picture] .= 0.1f0
        images[left+1:left+w, top+1:top+h, label+1, picture] .= 0.9f0
        labels[row] = label
        boxes[row, :] = Float32[left + w / 2, top + h / 2, w, h] ./ SIDE
    end
    batch["images"] = PermutedDimsArray(images, (4, 3, 2, 1))
    batch["boxes"] = boxes
    batch["labels"] = labels
    batch["offsets"] = collect(Int64, 0:BOXES:BATCH*BOXES)
end

function print_experts(session)
    println("expert    tokens   share  gate")
    for (e, stat) in enumerate(Moe.expert_stats(session, 1, :lifetime))
        bar = "#"^round(Int, 40 * stat.share)
        @printf("%-8s %7d  %5.1f%%  %.2f  %s\n", Moe.expert_name(session, 1, e), stat.tokens, 100 * stat.share, stat.gate_mean, bar)
    end
end

function main(steps)
    session, batch, random = Moe.Session(Moe.Config(text = SETTINGS)), Moe.Batch(), Xoshiro(1)
    for _ in 1:steps
        for _ in 1:WINDOW
            fill_scene!(batch, random)
            Moe.feed!(session, batch)
        end
        info = Moe.step!(session) # all or nothing
        @printf("step %d  loss %.3f  gradient %.3f  %.0f ms\n", info.step, info.loss, info.grad_norm, 1e3 * info.seconds)
    end
    print_experts(session)
    fill_scene!(batch, random)
    found = Moe.predict(session, batch)
    println("pictures: ", BATCH, ", detections: ", size(found["boxes"], 1))
    close(session)
end

main(isempty(ARGS) ? 150 : parse(Int, ARGS[1]))
