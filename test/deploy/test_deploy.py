"""What deploys recordkv is well-formed and says one thing: units, compose file, image file, NATS configuration, alarms.

Owns: what can be judged without running any of it, by the tools that will read it. Does not know: whether it runs
(image.sh, which builds the image and uses it; test/e2e/test_operations.py, which runs the page's commands).
The compose schema is that of github.com/compose-spec/compose-spec (Apache-2.0, its LICENSE and NOTICE beside it).
"""

import glob
import json
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
UNITS = {"recordkv.service": "recordkv.service", "recordkv@.service": "recordkv@kv.service"}
SEVERAL = r"ingest\x2ckv"  # what systemctl makes of recordkv@ingest,kv
HIGHEST_EXPOSURE = 3.0


def path(*names: str) -> str:
    return os.path.join(ROOT, *names)


def text(*names: str) -> str:
    with open(path(*names), encoding="utf-8") as f:
        return f.read()


def tool(name: str, package: str) -> str:
    found = shutil.which(name) or shutil.which(os.path.join(ROOT, ".tools", "bin", name))
    if not found:
        raise AssertionError(f"{name} is not here; install Debian's package {package}, or let ./dev test do it")
    return found


def yaml_of(*names: str):
    try:
        import yaml
    except ImportError:
        raise AssertionError("Python's yaml is not here; install Debian's package python3-yaml") from None
    return yaml.safe_load(text(*names))


def run(*words, **more) -> subprocess.CompletedProcess:
    return subprocess.run(words, text=True, capture_output=True, timeout=120, check=False, **more)


class UnitTest(unittest.TestCase):
    """On a root of their own: the host's units, ours, and a program where they expect it."""

    def setUp(self):
        self.analyze = tool("systemd-analyze", "systemd")
        self.root = tempfile.mkdtemp(prefix="recordkv-units-")
        self.addCleanup(shutil.rmtree, self.root)
        ours = os.path.join(self.root, "etc/systemd/system")
        os.makedirs(ours)
        for unit in UNITS:
            shutil.copy(path("config", unit), ours)
        for instance in ("ingest", "kv", "index", SEVERAL):  # --root finds no template of an instance by itself
            shutil.copy(path("config", "recordkv@.service"), os.path.join(ours, f"recordkv@{instance}.service"))
        theirs = next(d for d in ("/usr/lib/systemd/system", "/lib/systemd/system") if os.path.isdir(d))
        shutil.copytree(theirs, os.path.join(self.root, "usr/lib/systemd/system"), symlinks=True)
        self.program = self.make_program("usr/local/bin/recordkv")
        self.make_program("bin/kill")

    def make_program(self, *names: str) -> str:
        program = os.path.join(self.root, *names)
        os.makedirs(os.path.dirname(program), exist_ok=True)
        with open(program, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\n")
        os.chmod(program, 0o755)
        return program

    def verify(self, unit: str) -> str:
        """What systemd says of a unit; nothing when all is well. An unknown key is told, and still exits 0."""
        done = run(self.analyze, "verify", "--man=no", f"--root={self.root}", unit)
        return done.stdout + done.stderr + ("" if done.returncode == 0 else f"(exit code {done.returncode})")

    def test_they_verify(self):
        for unit in (*UNITS.values(), f"recordkv@{SEVERAL}.service"):
            with self.subTest(unit):
                self.assertEqual(self.verify(unit), "")

    def test_the_check_would_notice(self):
        os.remove(self.program)
        self.assertIn("recordkv is not executable", self.verify("recordkv.service"))

    def test_they_are_hardened(self):
        for file, unit in UNITS.items():
            with self.subTest(unit):
                done = run(self.analyze, "security", "--offline=true", "--no-pager", f"--root={self.root}", unit)
                found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
                self.assertTrue(found, done.stdout + done.stderr)
                print(f"{file}: exposure {found[1]} of 10, at most {HIGHEST_EXPOSURE} allowed")
                self.assertLessEqual(float(found[1]), HIGHEST_EXPOSURE)

    def test_they_see_who_owns_a_lock(self):
        """ProtectProc and ProcSubset would make every other owner look dead, and every machine the same."""
        for file in UNITS:
            self.assertNotRegex(text("config", file), r"(?m)^(ProtectProc|ProcSubset|PrivatePIDs)=")

    def test_one_process_or_several_differ_in_nothing_else(self):
        one, several = (set(text("config", f).split("[Service]")[1].splitlines()) for f in UNITS)
        differing = {line for line in one ^ several if line and not line.startswith("#")}
        self.assertEqual(differing, {"Environment=RECORDKV_STAGES=%I", "EnvironmentFile=-/etc/recordkv/%i.env"})


class ComposeTest(unittest.TestCase):
    def setUp(self):
        try:
            import jsonschema
        except ImportError:
            raise AssertionError("Python's jsonschema is not here; install Debian's python3-jsonschema") from None
        with open(os.path.join(HERE, "compose-spec", "compose-spec.json"), encoding="utf-8") as f:
            self.judge = jsonschema.Draft7Validator(json.load(f))
        self.compose = yaml_of("compose.yaml")

    def complaints(self, compose) -> list:
        return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in self.judge.iter_errors(compose)]

    def test_it_is_a_compose_file(self):
        self.assertEqual(self.complaints(self.compose), [])

    def test_the_check_would_notice(self):
        for wrong in ({"restrat": "always"}, {"ports": "2580"}, {"healthcheck": {"interval": 10}}):
            changed = {**self.compose, "services": {"nats": {**self.compose["services"]["nats"], **wrong}}}
            self.assertNotEqual(self.complaints(changed), [], wrong)

    def test_what_it_names_exists(self):
        for name, service in self.compose["services"].items():
            for mount in service["volumes"]:
                source = mount.split(":")[0]
                if source.startswith("."):
                    self.assertTrue(os.path.isfile(path(source)), f"{name}: {source}")
                else:
                    self.assertIn(source, self.compose["volumes"], name)
            self.assertTrue(service["read_only"] and service["cap_drop"] == ["ALL"], name)
        server = self.compose["services"]["nats"]
        directory = re.search(r'store_dir: "(.*)"', text("config", "nats-server.conf"))[1]
        self.assertIn(f"nats:{directory}", server["volumes"], "the store must lie in a volume")

    def test_its_settings_are_settings(self):
        known = tomllib.loads(text("config", "recordkv.toml"))
        variables = {f"RECORDKV_{s}_{k}".upper() for s, keys in known.items() if isinstance(keys, dict) for k in keys}
        here = set(re.findall(r"RECORDKV_[A-Z_]+(?==|:)", text("Dockerfile") + text("compose.yaml")))
        self.assertTrue(here)
        self.assertEqual(here - variables, set())


class ImageTest(unittest.TestCase):
    def test_the_last_stage_builds_nothing(self):
        last = text("Dockerfile").rsplit("FROM ", 1)[1]
        self.assertNotRegex(last, r"clang|-dev\b|meson|ninja")
        self.assertRegex(last, r"(?m)^USER \d+:\d+$")
        self.assertRegex(last, r"(?m)^HEALTHCHECK .*\\\n.*\"status\", \"--quiet\"")

    def test_the_context_holds_what_is_copied(self):
        ignored = text(".dockerignore").splitlines()
        for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", text("Dockerfile")):
            for source in line.split()[:-1]:
                self.assertTrue(os.path.exists(path(source)), f"Dockerfile copies {source}, which is not here")
                self.assertIn("!" + source.split("/")[0], ignored)


class ConfigTest(unittest.TestCase):
    def test_both_sides_know_the_sync_interval(self):
        server = re.search(r"(?m)^  sync_interval: (\S+)$", text("config", "nats-server.conf"))[1]
        self.assertEqual(tomllib.loads(text("config", "system.toml"))["nats"]["sync_interval"], server)

    def test_the_nats_server_takes_its_file(self):
        server = os.environ.get("RECORDKV_NATS_SERVER") or tool("nats-server", "nats-server")
        done = run(server, "-t", "-c", path("config", "nats-server.conf"))
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_page_installs_what_is_here(self):
        lines = re.findall(r"(?m)^sudo install -m \d+ (.*?)(?: +#.*)?$", text("docs", "operations.md"))
        sources = [name for line in lines for name in line.split()[:-1] if not name.startswith("build/")]
        self.assertTrue(sources)
        for name in sources:
            self.assertTrue(glob.glob(path(name)), f"docs/operations.md installs {name}, which is not here")

    def test_recordkv_takes_its_file(self):
        program = os.environ.get("RECORDKV") or tool("recordkv", "of recordkv itself")
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RECORDKV_")}
        done = run(program, "--config", path("config", "system.toml"), "--set",
                   f"index.views={path('config', 'views')}/*.toml",
                   "config", "check", env=clean)
        self.assertEqual(done.returncode, 0, done.stderr)


class AlarmTest(unittest.TestCase):
    def setUp(self):
        self.promtool = tool("promtool", "prometheus")
        groups = yaml_of("config", "alerts.yaml")["groups"]
        self.alarms = {rule["alert"]: rule for group in groups for rule in group["rules"]}

    def test_promtool_takes_the_rules(self):
        done = run(self.promtool, "check", "rules", path("config", "alerts.yaml"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_they_fire_when_they_should(self):
        done = run(self.promtool, "test", "rules", os.path.join(HERE, "alerts_test.yaml"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_has_its_remedy_on_the_page(self):
        page = dict(re.findall(r"(?m)^\| `(Recordkv\w+)` \| (.*) \|$", text("docs", "operations.md")))
        remedies = {name: " ".join(rule["annotations"]["remedy"].split()) for name, rule in self.alarms.items()}
        self.assertEqual(page, remedies, "docs/operations.md has a row for each alarm, in the same words")
        for name, rule in self.alarms.items():
            self.assertTrue(rule["annotations"]["summary"], name)
            self.assertIn(rule["labels"]["severity"], ("critical", "warning"), name)

    def test_each_cause_has_an_alarm(self):
        page = text("docs", "operations.md")
        causes = set(re.findall(r"(?m)^\| `([a-z_]+)` \| .*`Recordkv\w+` \|$", page))
        told = set(re.findall(r'cause="(\w+)"', text("config", "alerts.yaml")))
        self.assertEqual(told, causes, "docs/operations.md has one row for each cause of a stall")

    def test_the_page_knows_their_series(self):
        used = set(re.findall(r"\brecordkv_[a-z_]+", " ".join(rule["expr"] for rule in self.alarms.values())))
        used = {re.sub(r"_bucket$", "", name) for name in used}
        known = set(re.findall(r"`(recordkv_[a-z_]+)[`{]", text("docs", "operations.md")))
        self.assertEqual(used - known, set())


if __name__ == "__main__":
    unittest.main()
