"""The programs of examples/python run as a reader runs them; their digest is that of the same training in this process."""
import glob
import json
import os
import re
import signal
import subprocess
import sys
import unittest

from support import EXAMPLES, TestCase, run_python, tiny_config, tiny_data

import moe


class ProgramsTest(TestCase):
    def program(self, name, *arguments, **environment):
        return run_python(os.path.join(EXAMPLES, name), *arguments, PYTHONPATH="", **environment)

    def settings(self):
        """A settings file of a tiny training."""
        path = os.path.join(self.folder(), "tiny.yml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(tiny_config(tiny_data(self.folder())).dump())
        return path

    def test_train(self):
        settings, place = self.settings(), os.path.join(self.folder(), "run")
        out = self.program("train.py", settings, place, "train.epochs=1", "seed=3")
        self.assertEqual(out.returncode, 0, out.stderr)
        config = moe.Config(settings)
        config.update({"train.epochs": 1, "seed": 3})
        with moe.Run(config, place + "-here") as run:
            texts = [event.text.split("  ")[0] for event in run]
            digest = run.session["state.digest"]
        lines = out.stdout.splitlines()
        self.assertEqual(lines[-1], f"digest {digest}")
        self.assertRegex(lines[-2], "^100 %  done: 4 steps")
        self.assertGreaterEqual(len(lines), len(texts))

    def test_train_reports_errors_in_one_line(self):
        for arguments, part in ((["/nowhere.yml", "run"], "/nowhere.yml"), ([], "train.py CONFIG FOLDER [KEY=VALUE ...]"),
                                ([self.settings(), "run", "train.epoch=1"], 'did you mean "train.epochs"?')):
            out = self.program("train.py", *arguments)
            self.assertEqual((out.returncode, out.stdout, out.stderr.count("\n")), (1, "", 1))
            self.assertIn(part, out.stderr)

    def test_train_goes_on_after_an_interrupt(self):
        settings, place = self.settings(), os.path.join(self.folder(), "run")
        program = subprocess.Popen([sys.executable, os.path.join(EXAMPLES, "train.py"), settings, place, "train.epochs=500"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while "step 3/" not in program.stdout.readline():
            self.assertIsNone(program.poll())
        program.send_signal(signal.SIGINT)
        error = program.communicate(timeout=60)[1]
        self.assertEqual((program.returncode, error), (130, f"stopped; the same command goes on with {place}\n"))
        steps = moe.Session.open(max(glob.glob(os.path.join(place, "checkpoints/step-*"))))["state.step"]
        out = self.program("train.py", settings, place, "train.epochs=2")
        self.assertEqual(out.returncode, 0, out.stderr)
        self.assertIn(f"step {int(steps) + 1}", out.stdout)

    def test_feed_arrays(self):
        out = self.program("feed_arrays.py", "10")
        self.assertEqual(out.returncode, 0, out.stderr)
        self.assertRegex(out.stdout, r"step   10  loss +\d+\.\d+")
        tokens = sum(int(n) for n in re.findall(r"^  (?:red|green|blue) +(\d+) +\d+\.\d%", out.stdout, flags=re.M))
        assignments = int(re.search(r": 80 images, (\d+) assignments", out.stdout).group(1))
        self.assertEqual(tokens, assignments)
        self.assertEqual(len(re.findall(r"^picture \d: true .* found", out.stdout, flags=re.M)), 4)

    def metrics(self, lines):
        place = self.folder()
        with open(os.path.join(place, "metrics.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        return place

    def test_plot_of_a_run(self):
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            self.skipTest("matplotlib is absent (Debian: python3-matplotlib)")
        settings, place = self.settings(), os.path.join(self.folder(), "run")
        with moe.Run(moe.Config(settings), place) as run:
            list(run)
        out = self.program("plot_shares.py", place)
        self.assertEqual((out.returncode, out.stdout.strip()), (0, os.path.join(place, "expert_shares.png")), out.stderr)
        with open(out.stdout.strip(), "rb") as file:
            self.assertEqual(file.read(4), b"\x89PNG")

    def test_shares_of_a_run(self):
        """What is drawn adds up to 1 at every step, for every expert of the layer."""
        settings, place = self.settings(), os.path.join(self.folder(), "run")
        with moe.Run(moe.Config(settings), place) as run:
            list(run)
            layer, names = run.session.layers[0].name, run.session.expert_names(0)
        code = "import sys; sys.path.insert(0, sys.argv[1]); import json, plot_shares; print(json.dumps(plot_shares.read_shares(sys.argv[2])))"
        out = run_python("-c", code, EXAMPLES, os.path.join(place, "metrics.jsonl"))
        steps, shares = json.loads(out.stdout)[layer]
        self.assertEqual((steps, sorted(shares)), (list(range(1, 9)), sorted(names)))
        for values in zip(*shares.values()):
            self.assertAlmostEqual(sum(values), 1)

    def test_plot_without_matplotlib_or_experts(self):
        blocked = self.folder()
        with open(os.path.join(blocked, "sitecustomize.py"), "w", encoding="utf-8") as file:
            file.write("import sys\nsys.modules['matplotlib'] = None\n")
        layer = {"experts": {"a": {"share": 1.0}}}
        place = self.metrics([{"event": "step", "step": 1, "routing": {"gate": layer}}])
        out = run_python(os.path.join(EXAMPLES, "plot_shares.py"), place, PYTHONPATH=blocked)
        self.assertEqual((out.returncode, out.stderr.count("\n")), (1, 1))
        self.assertIn("expected the Python package matplotlib", out.stderr)
        for place, part in ((self.metrics([{"event": "step", "step": 1}]), "found none"), ("/nowhere", "/nowhere/metrics.jsonl")):
            out = self.program("plot_shares.py", place)
            self.assertEqual((out.returncode, out.stderr.count("\n")), (1, 1))
            self.assertIn(part, out.stderr)


if __name__ == "__main__":
    unittest.main()
