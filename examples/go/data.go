package moe

// #include "bridge.h"
import "C"

// GenerateOptions are the settings of [GenerateData].
type GenerateOptions struct {
	TrainImages int // >= 1
	ValImages   int // >= 0
	Width       int // pixels, 64 to 4096
	Height      int // pixels, 64 to 4096
	Threads     int // 1 to 64; does not change the result
	Seed        uint64
	Log         LogFunc // nil: silent
}

// DefaultGenerateOptions are the library's own.
func DefaultGenerateOptions() GenerateOptions {
	o := C.moe_go_generate_options()
	return GenerateOptions{
		TrainImages: int(o.train_images), ValImages: int(o.val_images), Width: int(o.width), Height: int(o.height),
		Threads: int(o.threads), Seed: uint64(o.seed),
	}
}

// GenerateData writes a generated data set of a kind ("traffic") into a folder, which is created or empty. The same options give
// the same bytes.
func GenerateData(kind, root string, options GenerateOptions) error {
	log := newLogger(options.Log)
	defer log.release()
	o := C.moe_generate_options{
		struct_size: C.sizeof_moe_generate_options, train_images: c32(options.TrainImages),
		val_images: c32(options.ValImages), width: c32(options.Width), height: c32(options.Height),
		threads: c32(options.Threads), seed: C.uint64_t(options.Seed),
	}
	C.moe_go_set_log(&o.log_fn, &o.log_user, log.handle())
	return log.join(call(func() C.moe_status { return C.moe_data_generate(cText(kind), cText(root), &o) }))
}

// DataReport is what [CheckData] found.
type DataReport struct {
	Pictures int64 // looked at, of both splits
	Objects  int64 // in them, ignored regions included
	Problems int64 // 0: a training can use all of it
	Excluded int64 // pictures in the list
}

// CheckData looks once through the detection data set that the config names, and tells log a line a problem and what each split
// holds. list: a text file that is written with the pictures to leave out, for the key data.exclude; "" for none.
func CheckData(config *Config, list string, log LogFunc) (DataReport, error) {
	lines := newLogger(log)
	defer lines.release()
	c := C.moe_data_report{struct_size: C.sizeof_moe_data_report}
	err := lines.join(call(func() C.moe_status {
		return C.moe_go_data_check(config.c(), cTextOrNull(list), lines.handle(), &c)
	}, config.handle()))
	return DataReport{
		Pictures: int64(c.pictures), Objects: int64(c.objects), Problems: int64(c.problems), Excluded: int64(c.excluded),
	}, err
}

// EvaluateCOCO evaluates a file of detections against a file of annotations, both in COCO's JSON, whatever program made them;
// moe.h lists the metrics. log receives warnings of what is passed over; nil for silence.
func EvaluateCOCO(annotations, detections string, log LogFunc) ([]Metric, error) {
	lines := newLogger(log)
	defer lines.release()
	found, err := readArray(func(items *C.moe_metric, capacity C.size_t, count *C.size_t) C.moe_status {
		return C.moe_go_coco_evaluate(cText(annotations), cText(detections), lines.handle(), items, capacity, count)
	})
	return metrics(found), lines.join(err)
}
