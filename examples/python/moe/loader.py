"""Data sets: batches of a config's data in a reproducible order, a check of that data, and generated scenes to try things
with."""
import ctypes

from .abi import Status, moe_data_report, moe_generate_options
from .batch import Batch
from .handle import Handle, Log, call
from .library import library, text_of, utf8
from .records import DataReport, record


class Loader(Handle):
    """One split of a config's data set, "train" or "val". Iterating gives the batches of one epoch, and again the next.

    len(loader) is the number of batches in an epoch. log(level, text): told of samples that cannot be read."""
    name = "loader"

    def __init__(self, config, split, log=None):
        self._adopt(library.moe_loader_create, config, utf8(split), log=log)

    @classmethod
    def of_files(cls, config, paths, log=None):
        """Image files without labels, for prediction."""
        paths = [utf8(path) for path in paths]
        loader = cls.__new__(cls)
        loader._adopt(library.moe_loader_create_files, config, (ctypes.c_char_p * len(paths))(*paths), len(paths), log=log)
        return loader

    def next(self, batch=None):
        """The next batch, in `batch` if one is given; None at the end of the epoch."""
        batch = Batch() if batch is None else batch
        return batch if call(library.moe_loader_next, self, batch) == Status.OK else None

    def __iter__(self):
        while (batch := self.next()) is not None:
            yield batch

    def set_log(self, log):
        """Another log function, or None for silence."""
        log = Log(log)
        call(library.moe_loader_set_log, self, log.pointer, None)
        self._logs[0] = log  # the library has let go of the one before
        log.raise_kept()

    @property
    def samples(self):
        return self._sizes()[0]

    def __len__(self):
        return self._sizes()[1]

    @property
    def broken(self):
        """Samples that could not be read so far."""
        count = ctypes.c_int64()
        call(library.moe_loader_broken, self, ctypes.byref(count))
        return count.value

    def file_name(self, image_id):
        """File name of the sample with this image id."""
        return text_of(lambda *text: call(library.moe_loader_file_name, self, *text), image_id)

    def _sizes(self):
        samples, batches = ctypes.c_int64(), ctypes.c_int64()
        call(library.moe_loader_size, self, ctypes.byref(samples), ctypes.byref(batches))
        return samples.value, batches.value

    def _adopt(self, function, *arguments, log):
        pointer = ctypes.c_void_p()
        call(function, *arguments, ctypes.byref(pointer))
        super().__init__(pointer.value, library.moe_loader_free)
        if log is not None:
            self.set_log(log)


def generate_data(kind, root, train_images=400, val_images=100, width=640, height=384, threads=2, seed=0, log=None):
    """Writes a generated data set into a new or empty folder. kind: "traffic" (roadside scenes with boxes)."""
    log = Log(log)
    options = moe_generate_options(train_images=train_images, val_images=val_images, width=width, height=height,
                                   threads=threads, seed=seed, log_fn=log.pointer)
    try:
        library.moe_data_generate(utf8(kind), utf8(root), ctypes.byref(options))
    finally:
        log.raise_kept()


def check_data(config, exclude_list=None, log=None):
    """Looks once through both splits of the config's data set, a DataReport. exclude_list: a text file that is written with
    the pictures to leave out, for the key data.exclude. log(level, text): a line a problem."""
    log, report = Log(log), moe_data_report()
    try:
        call(library.moe_data_check, config, utf8(exclude_list), log.pointer, None, ctypes.byref(report))
    finally:
        log.raise_kept()
    return record(DataReport, report)
