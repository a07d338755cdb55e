#!/usr/bin/env python3
"""Makes the packages with cpack, unpacks them elsewhere and trains with them, without the build tree.

The tarball must bring all it needs but the C and C++ run time; the .deb must name Debian's packages for what it does not bring.
"""
import os
import re
import shutil
import sys
import unittest

from support import BINARY, SYSTEM_LIBRARY, fresh_folder, libraries, run, train

SKIPPED = 77
NEEDED_BYTES = 3 << 30
RUN_TIME = re.compile(r"^(lib(c|m|dl|rt|util|pthread|stdc\+\+|gcc_s)|ld-linux-x86-64)\.so")
DEBIAN_PACKAGES = {"libyaml-cpp0.7", "libturbojpeg0", "libpng16-16", "zlib1g", "libstdc++6", "libc6", "libgcc-s1"}


def package(work, generator, suffix):
    """Path of the one package that cpack makes, in `work`."""
    run("cpack", "--config", BINARY / "CPackConfig.cmake", "-G", generator, "-B", work)
    shutil.rmtree(work / "_CPack_Packages")
    [path] = work.glob(f"*{suffix}")
    return path


class Packages(unittest.TestCase):
    def setUp(self):
        self.work = fresh_folder("packages")
        self.addCleanup(shutil.rmtree, self.work)

    def check_libraries(self, tree, system):
        """Each library lies in the unpacked tree, or is the system's and `system` accepts its name."""
        for name, path in libraries(tree / "bin/moe").items():
            if not path.startswith(str(tree)):
                self.assertTrue(SYSTEM_LIBRARY.match(path) and system(name), f"{name} => {path}")

    def check_training(self, tree):
        command = tree / "bin/moe"
        output = train(self.work / "run", command, ["sh", "-c", '"$0" train "$1" --run "$2"', command])
        self.assertIn("epoch 1/1", output)

    def test_tarball(self):
        archive = package(self.work, "TGZ", ".tar.gz")
        self.assertEqual(archive.name, "libmoe-0.1.0-linux-x86_64.tar.gz")
        run("sha256sum", "--check", archive.name + ".sha256", cwd=self.work)
        run("tar", "xzf", archive, "-C", self.work)
        archive.unlink()
        tree = self.work / "libmoe-0.1.0-linux-x86_64"
        self.assertEqual(sorted(os.listdir(tree)), ["bin", "include", "lib", "share"])
        self.assertTrue((tree / "share/doc/libmoe/licences/torch/LICENSE").is_file())
        self.assertTrue((tree / "share/doc/libmoe/licences/libyaml-cpp0.7").is_file())
        self.check_libraries(tree, RUN_TIME.match)
        self.check_training(tree)

    @unittest.skipUnless(shutil.which("dpkg-shlibdeps"), "no dpkg-shlibdeps here (Debian: dpkg-dev)")
    def test_deb(self):
        archive = package(self.work, "DEB", ".deb")
        self.assertEqual(archive.name, "libmoe_0.1.0_amd64.deb")
        depends = run("dpkg-deb", "--field", archive, "Depends")
        self.assertEqual({word.split()[0] for word in depends.split(",")}, DEBIAN_PACKAGES)
        self.assertEqual(run("dpkg-deb", "--field", archive, "Conflicts").strip(), "moe")
        run("dpkg-deb", "--extract", archive, self.work / "root")
        archive.unlink()
        tree = self.work / "root/usr"
        self.assertTrue((tree / "share/doc/libmoe/copyright").is_file())
        private = set(os.listdir(tree / "lib/moe"))
        self.assertFalse([name for name in private if re.match(r"lib(yaml|turbojpeg|png|z\.)", name)])
        self.check_libraries(tree, lambda name: name not in private)
        self.check_training(tree)


if __name__ == "__main__":
    free = shutil.disk_usage(BINARY).free
    if free < NEEDED_BYTES:
        print(f"SKIPPED: packages need {NEEDED_BYTES >> 30} GB free in {BINARY}, there are {free >> 20} MB")
        sys.exit(SKIPPED)
    unittest.main()
