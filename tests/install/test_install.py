#!/usr/bin/env python3
"""Installs libmoe, moves the tree, and uses it as strangers do: pkg-config, find_package(moe) from a C project, `moe` on the PATH.

Every program is built and run without the build tree and without LibTorch's headers.
"""
import os
import shlex
import shutil
import unittest

from support import BINARY, CC, SOURCE, SYSTEM_LIBRARY, TORCH, dynamic, fresh_folder, hiding, install_moved, libraries, run, train

LIBTORCH = {"libtorch_cpu.so", "libc10.so"}


class InstalledTree(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = fresh_folder("installed_tree")
        cls.addClassCleanup(shutil.rmtree, cls.work)
        cls.prefix = install_moved(cls.work, "moved here")
        cls.pkg_config_path = str(cls.prefix / "lib" / "pkgconfig")

    def pkg_config(self, *options, **extra):
        return run("pkg-config", *options, "moe", PKG_CONFIG_LIBDIR=self.pkg_config_path, **extra).strip()

    def test_public_files(self):
        self.assertEqual(os.listdir(self.prefix / "include"), ["moe.h"])
        self.assertEqual(os.listdir(self.prefix / "bin"), ["moe"])
        self.assertEqual(sorted(os.listdir(self.prefix / "lib")),
                         ["cmake", "libmoe.so", "libmoe.so.0", "libmoe.so.0.1.0", "moe", "pkgconfig"])
        self.assertLessEqual(LIBTORCH, set(os.listdir(self.prefix / "lib" / "moe")))
        for name in ("configs/rtdetr/synthetic.yml", "configs/base/detector.yml"):
            self.assertEqual((self.prefix / "share/moe" / name).read_bytes(), (SOURCE / name).read_bytes())
        for name in ("LICENSE", "README.md", "CHANGELOG.md", "copyright", "docs/abi.md", "examples/c/minimal.c"):
            self.assertTrue((self.prefix / "share/doc/libmoe" / name).is_file(), name)

    def test_no_path_of_this_machine(self):
        for folder in ("lib/cmake", "lib/pkgconfig"):
            for path in (self.prefix / folder).rglob("*.*"):
                text = path.read_text(encoding="utf-8") if path.is_file() else ""
                for foreign in (SOURCE, TORCH, self.work):
                    self.assertNotIn(str(foreign), text, path)

    def test_libraries_are_found_beside_each_other(self):
        self.assertEqual(dynamic(self.prefix / "lib/libmoe.so", "RUNPATH"), ["$ORIGIN/moe"])
        self.assertEqual(dynamic(self.prefix / "bin/moe", "RUNPATH"), ["$ORIGIN/../lib"])
        for library in (self.prefix / "lib/moe").iterdir():
            for paths in dynamic(library, "RUNPATH") + dynamic(library, "RPATH"):
                for path in paths.split(":"):
                    self.assertTrue(path.startswith("$ORIGIN"), f"{library.name}: {path}")

    def check_libraries(self, program, **extra):
        """Each library comes from the installed tree or is the system's."""
        found = libraries(program, **extra)
        self.assertLessEqual({"libmoe.so.0"} | LIBTORCH, set(found))
        for name, path in found.items():
            self.assertTrue(path.startswith(str(self.prefix)) or SYSTEM_LIBRARY.match(path), f"{name} => {path}")

    def test_command_on_the_path(self):
        links = self.work / "links"
        links.mkdir()
        (links / "moe").symlink_to(self.prefix / "bin" / "moe")
        path = f"{links}:{os.environ['PATH']}"
        self.check_libraries(self.prefix / "bin" / "moe")
        self.assertIn('"abi": 0', run("moe", "info", PATH=path))
        config = self.prefix / "share/moe/configs/rtdetr/synthetic.yml"
        self.assertIn("task: rtdetr", run("moe", "config", config, PATH=path))

    def test_pkg_config(self):
        self.assertEqual(self.pkg_config("--modversion"), "0.1.0")
        self.assertEqual(self.pkg_config("--variable=abi_version"), "0")
        self.assertRegex(self.pkg_config("--variable=torch_version"), r"^2\.15\.\d+$")
        self.assertEqual(self.pkg_config("--variable=cuda"), "false")
        self.assertEqual(self.pkg_config("--print-requires-private"), "")
        self.assertEqual(self.pkg_config("--static", "--libs"), self.pkg_config("--libs"))
        self.assertEqual(self.pkg_config("--libs").split()[-1], "-lmoe")

    def test_consumer_by_pkg_config(self):
        consumer = self.work / "by_pkg_config"
        flags = shlex.split(self.pkg_config("--cflags", "--libs"))
        run(*hiding(), CC, "-std=c11", "-Wall", "-Wextra", "-Werror", SOURCE / "tests/install/consumer/consumer.c", *flags, "-o", consumer)
        search = str(self.prefix / "lib")
        self.assertEqual(dynamic(consumer, "RUNPATH"), [])
        self.check_libraries(consumer, LD_LIBRARY_PATH=search)
        program = ["env", f"LD_LIBRARY_PATH={search}", consumer]
        self.assertEqual(train(self.work / "pkg_config_run", self.prefix / "bin/moe", program), "2 steps\n")

    def configure(self, version):
        build = self.work / f"cmake{version}"
        return build, run(*hiding(), "cmake", "-S", SOURCE / "tests/install/consumer", "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}",
                          f"-DVERSION={version}", f"-DCMAKE_C_COMPILER={CC}", "-DCMAKE_CXX_COMPILER=/nowhere", check=False)

    def test_consumer_by_find_package(self):
        build, output = self.configure("0.1")
        self.assertRegex(output, r"moe 0\.1\.0, ABI 0, LibTorch 2\.15\.\d+, CUDA FALSE")
        run(*hiding(), "cmake", "--build", build)
        self.check_libraries(build / "consumer")
        self.assertEqual(train(self.work / "cmake_run", self.prefix / "bin/moe", [build / "consumer"]), "2 steps\n")

    def test_find_package_refuses_other_versions(self):
        for version in ("0.2", "1.0", "0.1.1"):
            self.assertIn("version: 0.1.0", self.configure(version)[1])

    def test_copied_build_tree(self):
        copy = self.work / "build"
        for name in ("bin", "lib"):
            (copy / name).mkdir(parents=True)
        shutil.copy2(BINARY / "bin/moe", copy / "bin")
        for library in (BINARY / "lib").glob("libmoe.so*"):
            shutil.copy2(library, copy / "lib", follow_symlinks=False)
        output = run("ldd", copy / "bin/moe")
        self.assertIn(str(copy / "bin/../lib/libmoe.so.0"), output)
        self.assertIn('"abi": 0', run(copy / "bin/moe", "info"))


if __name__ == "__main__":
    unittest.main()
