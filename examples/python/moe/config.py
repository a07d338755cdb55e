"""Settings of one task: text keys with dots, each with its value and where that came from."""
import ctypes
import json
import os
from collections.abc import Mapping

from .abi import Dump
from .handle import Handle, call
from .library import library, text_of, utf8


def yaml_text(value):
    """A setting as YAML: text as it stands, everything else as JSON, which is YAML."""
    if isinstance(value, str):
        return value
    return json.dumps(os.fspath(value) if isinstance(value, os.PathLike) else value)


class Config(Handle):
    """Config("a.yml") reads a file and what it inherits from; Config.parse() takes text or a dict.

    config["train.epochs"] = 5 overrides a key, checked at once; config["train.epochs"] is its value as YAML text."""
    name = "config"

    def __init__(self, path):
        self._adopt(library.moe_config_load, utf8(path))

    @classmethod
    def parse(cls, settings, name=None):
        """From YAML text or a mapping. name: stands for the file in messages, and where `base:` paths start."""
        text = json.dumps(settings) if isinstance(settings, Mapping) else settings
        data = text.encode()
        return cls._made(library.moe_config_parse, data, len(data), utf8(name))

    def copy(self):
        return self._made(library.moe_config_clone, self)

    def __setitem__(self, key, value):
        call(library.moe_config_set, self, utf8(key), yaml_text(value).encode())

    def __getitem__(self, key):
        return text_of(self._caller(library.moe_config_get), utf8(key))

    def update(self, settings):
        """Overrides several keys: a mapping, or pairs of key and value."""
        for key, value in dict(settings).items():
            self[key] = value

    def origin(self, key):
        """Where the value of a key came from: "default", "file:line:column" or "override"."""
        return text_of(self._caller(library.moe_config_origin), utf8(key))

    def dump(self, origins=False):
        """All settings as YAML, defaults included. origins: each line with a comment that names its origin."""
        return text_of(self._caller(library.moe_config_dump), Dump.ORIGINS if origins else Dump.VALUES)

    @classmethod
    def _made(cls, function, *arguments):
        config = cls.__new__(cls)
        config._adopt(function, *arguments)
        return config

    def _adopt(self, function, *arguments):
        pointer = ctypes.c_void_p()
        call(function, *arguments, ctypes.byref(pointer))
        super().__init__(pointer.value, library.moe_config_free)

    def _caller(self, function):
        return lambda *arguments: call(function, self, *arguments)


def describe_settings(task=None):
    """The reference page of a task's settings in Markdown; None: of the keys that every task shares."""
    return text_of(library.moe_config_describe, utf8(task))
