// Pictures with one class each, for generation and classification: CIFAR-10 and CIFAR-100 in their binary form, IDX
// files (MNIST, Fashion-MNIST), folders of pictures by class. Small sets are read whole into memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/source.h"
#include "image/image.h"

namespace moe {

struct LabelledPicture {
  std::string name;  // file, and the record in it where it holds many
  int64_t label = 0;
  Image image;  // empty: in the file `name`
};

struct LabelledSet {
  std::vector<std::string> classes;  // by label; empty: not known
  std::vector<LabelledPicture> pictures;
};

// CIFAR binary files (Krizhevsky 2009): records of label bytes and 3072 bytes of 32 x 32 planes red, green, blue.
// cifar10 takes data_batch_1.bin .. data_batch_5.bin, as many as are there, or test_batch.bin; cifar100 train.bin or
// test.bin with its fine labels. In `root` or in the folder of the archive below it. MOE_ERR_DATA: size, label.
LabelledSet read_cifar10(const std::string& root, bool training);
LabelledSet read_cifar100(const std::string& root, bool training);

// IDX (LeCun): big-endian header, then bytes; plain or gzip. images: [n, rows, columns] grey, labels: [n]. A name
// without its .gz is found as well. MOE_ERR_DATA: magic number, sizes, counts.
LabelledSet read_idx(const std::string& images, const std::string& labels);

// folder/CLASS/*.{png,jpg,jpeg}, classes and files in bytewise order. With names in `classes` these are the only
// folders allowed, in this order.
LabelledSet read_image_folder(const std::string& folder, const std::vector<std::string>& classes);

// The split that the config's data section names, labels checked against data.classes.
LabelledSet read_labelled_set(const Config& config, const std::string& split);
bool is_labelled_format(const std::string& format);  // value of data.format

}  // namespace moe
