// The `data.` section of the configuration.
#include "data/source.h"

namespace moe {

static Schema place_keys() {
  using enum KeyType;
  return {
      {"data.format", text, "dair_v2x_i", "dair_v2x_i | coco", "Layout of the data set."},
      {"data.root", text, "", "", "Folder of the data set."},
      {"data.split_file", text, "", "",
       "dair_v2x_i: the file that lists the ids of each split, relative to the root; empty: split_data.json there or "
       "in metadata/."},
      {"data.train.root", text, "", "", "Folder of the training split; empty: data.root."},
      {"data.train.split", text, "train", "",
       "dair_v2x_i: name of the training split in the split file; image_folder: its folder."},
      {"data.train.annotations", text, "", "", "coco: the json file, relative to the root."},
      {"data.train.images", text, "", "",
       "Relative to the root. coco: folder of the pictures; idx: file of the pictures, empty: "
       "train-images-idx3-ubyte."},
      {"data.train.labels", text, "", "",
       "idx: file of the labels, relative to the root; empty: train-labels-idx1-ubyte."},
      {"data.val.root", text, "", "", "Folder of the validation split; empty: data.root."},
      {"data.val.split", text, "val", "",
       "dair_v2x_i: name of the validation split in the split file; image_folder: its folder."},
      {"data.val.annotations", text, "", "", "coco: the json file, relative to the root."},
      {"data.val.images", text, "", "",
       "Relative to the root. coco: folder of the pictures; idx: file of the pictures, empty: t10k-images-idx3-ubyte."},
      {"data.val.labels", text, "", "",
       "idx: file of the labels, relative to the root; empty: t10k-labels-idx1-ubyte."},
      {"data.exclude", text, "", "",
       "dair_v2x_i, coco: file that lists pictures to leave out, as `moe data check` writes it; empty: none."},
      {"data.subset", integer, "0", ">= 0", "Training pictures used, drawn by seed; 0: all."},
      {"data.val.subset", integer, "0", ">= 0", "Validation pictures used of labelled ones, drawn by seed; 0: all."},
  };
}

static Schema class_keys() {
  using enum KeyType;
  return {
      {"data.classes", texts, "[car, truck, bus, person, bicycle, motorcycle]", "",
       "Classes in the order of their indices. Objects of other known types are left out. coco with []: the file's "
       "categories by id."},
      {"data.category_ids", integers, "[]", ">= 0",
       "COCO category id of each class, for files of detections. []: coco: those of data.train.annotations; else the "
       "index of the class."},
      {"data.class_map.*", text, "", "",
       "Meaning of a type or category: a class, `drop`, `ignore` (a region that counts neither way) or `ignore CLASS` "
       "(so for one "
       "class). Beside it hold: a type named like a class, and for dair_v2x_i the table Car, Van: car; Truck: truck; "
       "Bus: bus; "
       "Pedestrian: person; Cyclist, Barrowlist: bicycle; Motorcyclist, Tricyclist: motorcycle; Trafficcone: drop; "
       "Unknown*, "
       "*Ignore: ignore."},
      {"data.unknown_types", text, "error", "error | ignore | drop", "What a type without a meaning is."},
  };
}

static Schema input_keys() {
  using enum KeyType;
  return {
      {"data.size", integers, "[640, 640]", ">= 1, <= 20000", "Height and width of the network's input, pixels."},
      {"data.resize", text, "stretch", "stretch | letterbox",
       "How a picture gets that size: ignoring its aspect ratio, or keeping it, centred on black."},
      {"data.slice.size", integer, "0", ">= 0, <= 20000",
       "Evaluation and prediction also look at squares of this side, pixels of the original, one picture at a time, "
       "and "
       "join what they find: for small objects in large pictures. 0: at the whole picture alone."},
      {"data.slice.overlap", number, "0.2", ">= 0, <= 0.9",
       "Share of a side that neighbouring squares have in common."},
      {"data.channels", integer, "3", "1 | 3", "Channels of labelled pictures: 3 red, green and blue; 1 grey."},
      {"data.augment.flip", number, "0.5", ">= 0, <= 1", "Probability of mirroring a training picture."},
      {"data.augment.photometric", number, "0", ">= 0, <= 1",
       "Probability of each of: brightness, contrast, saturation, hue, channel order."},
      {"data.augment.zoom_out", number, "0", ">= 0, <= 1",
       "Probability of placing the picture on a larger black canvas."},
      {"data.augment.zoom_max", number, "4", ">= 1, <= 16", "Largest side of that canvas, in sides of the picture."},
      {"data.augment.iou_crop", number, "0", ">= 0, <= 1", "Probability of cutting out a part around objects."},
      {"data.augment.scales", numbers, "[]", "> 0, <= 4",
       "Factors on data.size, of which one is drawn for each training batch; sides become multiples of 32. []: always "
       "data.size. RT-DETR: [0.75, 0.8, 0.85, 0.9, 0.95, 1, 1, 1, 1.05, 1.1, 1.15, 1.2, 1.25]."},
      {"data.augment.strong_epochs", integer, "0", ">= 0",
       "Epochs with photometric, zoom_out, iou_crop and scales; those after them train on plain pictures. 0: all."},
      {"data.workers", integer, "1", ">= 0, <= 256",
       "Threads that decode; 0: in the training thread. Never changes a result."},
      {"data.prefetch", integer, "2", ">= 1, <= 1024", "Batches decoded ahead."},
      {"data.max_broken", integer, "0", ">= 0", "Samples of an epoch that may be unreadable; one more ends the run."},
      {"data.cache", boolean, "false", "", "Keep decoded pictures in memory."},
      {"data.cache_mb", integer, "2000", ">= 1, <= 10000000", "Limit of that memory, 10^6 bytes."},
  };
}

Schema data_schema() {
  Schema schema = place_keys();
  for (const Schema& part : {class_keys(), input_keys()}) schema.insert(schema.end(), part.begin(), part.end());
  return schema;
}

}  // namespace moe
