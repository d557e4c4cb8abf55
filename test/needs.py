#!/usr/bin/env python3
"""Runs a test program if the tools that it needs are here. Otherwise says which is missing, and exits with 77.

  needs.py NAME [TOOL...] -- PROGRAM [ARGUMENT...]

Owns: what each tool is called, and where it is looked for. Does not know: what the test does with it.
Meson shows 77 as SKIP. With TEST_TOOLS=required, which ./dev test sets, a missing tool is a failure instead.
"""
import glob
import importlib.util
import os
import re
import shutil
import subprocess
import sys

SKIPPED = 77
TEST = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TEST)
OWN_TOOLS = os.path.join(ROOT, ".tools", "bin")  # where ./dev puts what it obtains
OWN_PYTHON = os.path.join(ROOT, ".tools", "python")
EXAMPLES = os.path.join(ROOT, "docs", "examples")


def on_path(name, variable=""):
    """A program: the one that the variable names, or the first of that name in PATH."""
    return (variable and os.environ.get(variable)) or shutil.which(name)


def output_of(*command, **how):
    done = subprocess.run(command, text=True, capture_output=True, check=False, timeout=60, **how)
    return done.stdout if done.returncode == 0 else ""


def nats_server():
    """2.10 or newer, but no release that can hide messages after a restart. It is handed on as RECORDKV_NATS_SERVER."""
    found = on_path("nats-server", "RECORDKV_NATS_SERVER")
    if not found:
        return "no nats-server in PATH; install version 2.10 or newer, or set RECORDKV_NATS_SERVER"
    version = re.search(r"(\d+)\.(\d+)\.(\d+)", output_of(found, "--version"))
    number = tuple(map(int, version.groups())) if version else (0, 0, 0)
    if number < (2, 10) or (2, 12, 7) <= number <= (2, 12, 9) or (2, 14, 0) <= number <= (2, 14, 1):
        return f"{found} is version {version[0] if version else 'unknown'}; the tests want 2.10 or newer, but not " \
               "2.12.7 to 2.12.9, 2.14.0 or 2.14.1"
    os.environ["RECORDKV_NATS_SERVER"] = os.path.abspath(found)
    return ""


def nats_cli():
    found = on_path("nats", "RECORDKV_NATS_CLI")
    if not found:
        return "no nats command line in PATH; install github.com/nats-io/natscli, or set RECORDKV_NATS_CLI"
    os.environ["RECORDKV_NATS_CLI"] = os.path.abspath(found)
    return ""


def postgres():
    if os.environ.get("RECORDKV_POSTGRES_BIN") or glob.glob("/usr/lib/postgresql/*/bin/postgres"):
        return ""
    return "no PostgreSQL server; install Debian's postgresql, or set RECORDKV_POSTGRES_BIN"


def pgbouncer():
    return "" if on_path("pgbouncer") or os.path.exists("/usr/sbin/pgbouncer") else "no PgBouncer; install pgbouncer"


def node(folder):
    if not on_path("node", "RECORDKV_NODE"):
        return "no Node.js; install nodejs and npm"
    if not os.path.exists(os.path.join(folder, "node_modules", ".bin", "tsc")):
        return f"no Node packages in {os.path.relpath(folder, ROOT)}; run `npm ci` there"
    return ""


def examples():
    """Node, Python and Go with the packages of docs/examples, without a look at the network."""
    missing = node(os.path.join(EXAMPLES, "typescript"))
    if missing:
        return missing
    if not importlib.util.find_spec("nats") and not os.path.isdir(os.path.join(OWN_PYTHON, "nats")):
        return "no Python package nats-py; see docs/examples/python/requirements.txt"
    go = os.environ.get("RECORDKV_GO") or shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if not go:
        return "no Go; install it, or set RECORDKV_GO"
    here = os.path.join(EXAMPLES, "go")
    if not output_of(go, "list", "-deps", ".", cwd=here, env={**os.environ, "GOPROXY": "off", "GOTOOLCHAIN": "auto"}):
        return "no Go modules of docs/examples/go; run `go mod download` there"
    os.environ["RECORDKV_GO"] = go
    return ""


def network_namespace():
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    if output_of("unshare", *as_root, "--net", "--mount", "sh", "-c", "ip link set lo up && echo up") == "up\n":
        return ""
    return "no network of a process's own; run as root, or allow user namespaces; it takes unshare and ip"


def deploy():
    for module in ("yaml", "jsonschema"):
        if not importlib.util.find_spec(module):
            return f"no Python package {module}; install python3-{module}"
    return ""


TOOLS = {"nats-server": nats_server, "nats": nats_cli, "postgres": postgres, "pgbouncer": pgbouncer,
         "node": lambda: node(os.path.join(TEST, "e2e")), "examples": examples, "deploy": deploy,
         "network-namespace": network_namespace}


def missing_tool(tool):
    """"" if it is here. What has no line of its own is a program in PATH."""
    if tool in TOOLS:
        return TOOLS[tool]()
    return "" if on_path(tool) else f"no {tool} in PATH"


def main():
    split = sys.argv.index("--")
    name, *tools = sys.argv[1:split]
    os.environ["PATH"] = os.environ["PATH"] + os.pathsep + OWN_TOOLS
    missing = [m for m in map(missing_tool, tools) if m]
    if not missing:
        os.execvp(sys.argv[split + 1], sys.argv[split + 1:])
    required = os.environ.get("TEST_TOOLS") == "required"
    print(f"{'MISSING' if required else 'SKIPPED'} {name}: {'; '.join(missing)}")
    sys.exit(1 if required else SKIPPED)


if __name__ == "__main__":
    main()
