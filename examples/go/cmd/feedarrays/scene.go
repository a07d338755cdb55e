package main

import (
	"math/rand/v2"

	"example.org/moe"
)

const (
	batchSize = 4
	side      = 96
	boxCount  = 2 // a picture
	window    = 2 // micro-batches a step
)

var classes = []string{"red", "green", "blue"}

// scene is one micro-batch. The boxes of picture i are rows offsets[i] to offsets[i+1]-1.
type scene struct {
	images  []float32 // [batchSize, 3, side, side] in 0..1
	boxes   []float32 // [N, 4]: cx, cy, w, h in shares of the side
	labels  []int64   // [N]
	offsets []int64   // [batchSize + 1]
}

func newScene(random *rand.Rand) *scene {
	s := &scene{images: make([]float32, batchSize*3*side*side), offsets: []int64{0}}
	for i := range s.images {
		s.images[i] = 0.4 + 0.2*random.Float32()
	}
	for picture := range batchSize {
		for range boxCount {
			s.addBox(picture, random)
		}
		s.offsets = append(s.offsets, int64(len(s.labels)))
	}
	return s
}

func (s *scene) addBox(picture int, random *rand.Rand) {
	label, w, h := random.IntN(len(classes)), 16+random.IntN(24), 16+random.IntN(24)
	left, top := random.IntN(side-w), random.IntN(side-h)
	for channel := range 3 {
		shade := float32(0.1)
		if channel == label {
			shade = 0.9
		}
		for y := top; y < top+h; y++ {
			row := ((picture*3+channel)*side + y) * side
			for x := left; x < left+w; x++ {
				s.images[row+x] = shade
			}
		}
	}
	s.labels = append(s.labels, int64(label))
	for _, pixels := range []float32{float32(left) + float32(w)/2, float32(top) + float32(h)/2, float32(w), float32(h)} {
		s.boxes = append(s.boxes, pixels/side)
	}
}

func (s *scene) fill(batch *moe.Batch) error {
	n := int64(len(s.labels))
	for name, tensor := range map[string]moe.Tensor{
		"images":  moe.View(s.images, batchSize, 3, side, side),
		"boxes":   moe.View(s.boxes, n, 4),
		"labels":  moe.View(s.labels, n),
		"offsets": moe.View(s.offsets, batchSize+1),
	} {
		if err := batch.Set(name, tensor); err != nil {
			return err
		}
	}
	return nil
}
