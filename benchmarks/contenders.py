"""What the benchmarks share: one subprocess per contender, rounds in turn, a Markdown table.

Every contender lives in its own process and works only while it is asked to, so that nobody competes for the cores;
because the rounds go around (A, B, C, A, B, C, ...), a machine that slows down for a while slows down everybody.
"""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
from importlib import metadata


class Unavailable(Exception):
    """A contender cannot run on this machine; the text is the reason."""


class Contender:
    """A script started with `--worker`: takes one JSON line per request, gives one JSON line back."""

    def __init__(self, script: str, settings: dict, **environment: str):
        env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
        # The package next to this folder, installed or not.
        env["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(pathlib.Path(__file__).resolve().parents[1]), env.get("PYTHONPATH")])
        )
        self.process = subprocess.Popen(
            [sys.executable, script, "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            text=True,
            bufsize=1,
        )
        try:
            self.about = self.ask(settings)  # start up, compile, warm up
        except Unavailable:
            self.close()
            raise

    def ask(self, request) -> dict:
        """One request. Raises Unavailable with the worker's own words."""
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # it died, which the empty answer tells
        answer = self.process.stdout.readline()
        answer = json.loads(answer) if answer else {"error": f"its process ended with code {self.process.wait()}"}
        if "error" in answer:
            raise Unavailable(answer["error"])
        return answer

    def close(self):
        """Ends the worker, with its own children: the end of its input tells it to leave."""
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def serve(start):
    """The worker's side: `start(settings)` gives (about, work), and `work(request)` gives the answer of one round."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not look like an answer
    requests = (json.loads(line) for line in sys.stdin)
    try:
        about, work = start(next(requests))
        print(json.dumps(about), file=answers)
        for request in requests:
            print(json.dumps(work(request)), file=answers)
    except Exception as error:  # the parent prints it and goes on without this row
        print(json.dumps({"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}), file=answers)
    answers.flush()
    os._exit(0)  # frameworks may hang in their own farewell; their daemonic children notice the closed pipes


def start_all(script: str, rows: dict[str, tuple[dict, dict]]) -> dict[str, Contender]:
    """Contenders by name; one that cannot start is left out with a line that says so.

    Args:
        rows: name -> (settings, environment).
    """
    contenders = {}
    for name, (settings, environment) in rows.items():
        try:
            contenders[name] = Contender(script, settings, **environment)
        except Unavailable as reason:
            print(f"skipped: {name}: {reason}", flush=True)
    return contenders


def interleave(contenders: dict[str, Contender], rounds: int, request) -> dict[str, list[float]]:
    """Images/s of every contender and round, taken in turn."""
    rates = {name: [] for name in contenders}
    for number in range(rounds):
        for name, contender in contenders.items():
            try:
                rates[name].append(contender.ask(request)["images_per_s"])
            except Unavailable as reason:
                print(f"round {number + 1}: {name} failed: {reason}", flush=True)
        latest = ", ".join(f"{name} {rate[-1]:.1f}" for name, rate in rates.items() if rate)
        print(f"round {number + 1}/{rounds}: {latest}", file=sys.stderr)
    return {name: rate for name, rate in rates.items() if rate}


def summary(rates: dict[str, list[float]], first: str) -> dict[str, dict]:
    """Median, spread and the ratio of `first` to each: the median over rounds of the ratio within a round."""
    result = {}
    for name, values in rates.items():
        result[name] = {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": values}
        if first in rates:
            result[name]["ratio"] = statistics.median(
                ours / theirs for ours, theirs in zip(rates[first], values, strict=False)
            )
    return result


def table(header: list[str], rows: list[list]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def hardware() -> str:
    """CPU model and cores; the GPU too where nvidia-smi knows one."""
    cpu = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    facts = [cpu, f"{cores()} cores", f"load {os.getloadavg()[0]:.1f} at the start"]
    try:
        query = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=60
        )
        facts += query.stdout.strip().splitlines() if not query.returncode else []
    except (OSError, subprocess.TimeoutExpired):
        pass
    return ", ".join(facts)


def versions(*packages: str) -> str:
    """Python and the packages that are installed."""
    installed = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            installed.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(installed)
