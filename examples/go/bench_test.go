// What the boundary costs: go test -run - -bench . -benchmem
package moe_test

import (
	"testing"

	"example.org/moe"
)

// A call that does nothing but cross the boundary under the handle's lock.
func BenchmarkEmptyCall(b *testing.B) {
	batch := must(moe.NewBatch())
	defer batch.Close()
	for range b.N {
		must(batch.Len())
	}
}

// One copy of the slice; BenchmarkCopy is that copy alone.
func BenchmarkSet(b *testing.B) {
	pixels := make([]float32, 4*3*640*640)
	batch := must(moe.NewBatch())
	defer batch.Close()
	b.SetBytes(int64(4 * len(pixels)))
	for range b.N {
		if err := batch.Set("images", moe.View(pixels, 4, 3, 640, 640)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCopy(b *testing.B) {
	pixels, target := make([]float32, 4*3*640*640), make([]float32, 4*3*640*640)
	b.SetBytes(int64(4 * len(pixels)))
	for range b.N {
		copy(target, pixels)
	}
}

func BenchmarkExpertStats(b *testing.B) {
	config := must(moe.ParseConfig(tinySettings, ""))
	defer config.Close()
	session := must(moe.NewSession(config, moe.SessionOptions{}))
	defer session.Close()
	for range b.N {
		must(session.ExpertStats(0, moe.Lifetime))
	}
}
