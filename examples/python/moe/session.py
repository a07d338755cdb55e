"""A model with its optimizer and statistics, for programs with their own data and loop."""
import ctypes

from .abi import (Window, moe_expert_stat, moe_layer_info, moe_layer_stat, moe_metric, moe_session_options,
                  moe_step_info)
from .batch import Batch, as_batch
from .config import Config, yaml_text
from .handle import Log, StoppableHandle, call
from .library import library, text_of, utf8
from .records import ExpertStat, LayerInfo, LayerStat, StepInfo, record


class Session(StoppableHandle):
    """feed() queues micro-batches, step() trains on all of them or changes nothing, predict() runs the model.

    session["state.step"] reads a value as text, session["optimizer.groups.new.lr"] = 1e-4 changes one; moe.h lists the
    keys. log(level, text): warnings and notes."""
    name = "session"

    def __init__(self, config, log=None):
        self._adopt(library.moe_session_create, config, Log(log))

    @classmethod
    def open(cls, path, log=None):
        """From a checkpoint file, or from a run folder (its best checkpoint, else its last)."""
        session = cls.__new__(cls)
        session._adopt(library.moe_session_open, utf8(path), Log(log))
        return session

    def config(self):
        """A copy of the session's settings."""
        return Config._made(library.moe_session_config, self)

    def describe_batch(self):
        """What feed() expects, one line per tensor: name, type, shape, meaning."""
        return text_of(self._caller(library.moe_session_describe_batch))

    def feed(self, batch):
        """Queues a micro-batch: a Batch, or a mapping of arrays. Feed as often as the accumulation window asks for."""
        call(library.moe_session_feed, self, as_batch(batch))

    def step(self):
        """Trains on what was fed; on an error nothing has changed, and the window is empty."""
        info = moe_step_info()
        call(library.moe_session_step, self, ctypes.byref(info), stop=self.request_stop)
        losses = {info.loss_name[i].value.decode(): info.loss_value[i] for i in range(info.loss_count)}
        return record(StepInfo, info, skipped=bool(info.skipped), losses=losses)

    def discard(self):
        """Drops what was fed."""
        call(library.moe_session_discard, self)

    def predict(self, batch, out=None):
        """Named results of the model as a Batch: `out`, or a new one. The batch needs no targets."""
        out = Batch() if out is None else out
        call(library.moe_session_predict, self, as_batch(batch), out)
        return out

    def evaluate(self, loader):
        """Metrics over one epoch of a "val" loader, name to value; the first is what the best checkpoint is chosen by."""
        return _metrics(lambda *metrics, **stop: call(library.moe_session_evaluate, self, loader, *metrics, **stop),
                        stop=self.request_stop)

    def draw(self, batch, prediction, index, path, min_score=0.5):
        """Writes sample `index` of the batch with its predictions as a PNG file."""
        call(library.moe_session_draw, self, as_batch(batch), prediction, index, min_score, utf8(path))

    def save(self, path):
        """Writes a checkpoint; the file appears whole or not at all."""
        call(library.moe_session_save, self, utf8(path))

    def load(self, path):
        """Restores what save() wrote; on an error nothing has changed."""
        call(library.moe_session_load, self, utf8(path))

    def export(self, path, format="own"):
        """Writes the weights alone, for other programs: "own" (a safetensors file) or "transformers" (a folder)."""
        call(library.moe_session_export, self, utf8(format), utf8(path))

    def __getitem__(self, key):
        return text_of(self._caller(library.moe_session_get), utf8(key))

    def __setitem__(self, key, value):
        call(library.moe_session_set, self, utf8(key), yaml_text(value).encode())

    @property
    def layers(self):
        """Facts about every mixture layer; their places in this list are what the methods below call `layer`."""
        count = ctypes.c_int32()
        call(library.moe_session_layer_count, self, ctypes.byref(count))
        return [self._layer(i) for i in range(count.value)]

    def expert_names(self, layer):
        name = self._caller(library.moe_session_expert_name)
        return [text_of(name, layer, expert) for expert in range(self._layer(layer).experts)]

    def expert_stats(self, layer, window=Window.LAST_STEP):
        """One ExpertStat for every expert."""
        stats = (moe_expert_stat * self._layer(layer).experts)()
        call(library.moe_session_expert_stats, self, layer, window, stats, len(stats), None)
        return [record(ExpertStat, stat) for stat in stats]

    def layer_stats(self, layer, window=Window.LAST_STEP):
        """Numbers of the layer as a whole, a LayerStat."""
        stat = moe_layer_stat()
        call(library.moe_session_layer_stats, self, layer, window, ctypes.byref(stat))
        return record(LayerStat, stat)

    def class_routing(self, layer, window=Window.LAST_STEP):
        """int64 [classes, experts]: how often a token of a class went to an expert."""
        info = self._layer(layer)
        return self._table(library.moe_session_class_routing, layer, window, (info.classes, info.experts))

    def coactivation(self, layer, window=Window.LAST_STEP):
        """int64 [experts, experts], symmetric: how many tokens chose both; the diagonal holds each expert's own."""
        experts = self._layer(layer).experts
        return self._table(library.moe_session_coactivation, layer, window, (experts, experts))

    def stats_reset(self):
        """Starts Window.SINCE_RESET anew for every layer."""
        call(library.moe_session_stats_reset, self)

    def _layer(self, layer):
        info = moe_layer_info()
        call(library.moe_session_layer_info, self, layer, ctypes.byref(info))
        return record(LayerInfo, info)

    def _table(self, function, layer, window, shape):
        import numpy
        counts = numpy.empty(shape, numpy.int64)
        call(function, self, layer, window, counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int64)), counts.size, None)
        return counts

    def _adopt(self, function, source, log):
        options = moe_session_options(log_fn=log.pointer)
        pointer = ctypes.c_void_p()
        try:
            call(function, source, ctypes.byref(options), ctypes.byref(pointer))
        finally:
            log.raise_kept()
        super().__init__(pointer.value, library.moe_session_free, library.moe_session_request_stop, log)

    def _caller(self, function):
        return lambda *arguments: call(function, self, *arguments)


def _metrics(function, **work):
    """What a function writes into (metrics, capacity, count), its last three parameters. work: for the call that works."""
    count = ctypes.c_size_t()
    function(None, 0, ctypes.byref(count))
    metrics = (moe_metric * count.value)()
    function(metrics, len(metrics), ctypes.byref(count), **work)
    return {m.name.decode(): m.value for m in metrics[:count.value]}


def coco_evaluate(annotations, detections, log=None):
    """Metrics of a file of detections against one of annotations, both COCO json, name to value, whoever made them."""
    log, files = Log(log), (utf8(annotations), utf8(detections))
    try:
        return _metrics(lambda *metrics: library.moe_coco_evaluate(*files, log.pointer, None, *metrics))
    finally:
        log.raise_kept()
