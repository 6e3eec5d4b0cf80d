"""Runs callers of the matrix: `python worker.py MODULE…`, the world as JSON on standard input, one JSON line a cell on standard output."""

import importlib
import json
import os
import sys
import time
import warnings

from kit import Caller, Different, Provider, Simulator, refused_field, short

warnings.filterwarnings("ignore")


def callers(modules):
    for name in modules:
        module = importlib.import_module(name)
        for thing in list(vars(module).values()):
            if isinstance(thing, type) and issubclass(thing, Caller) and thing.name and thing.__module__ == name:
                yield thing


def try_cell(caller, feature, to):
    """What came of one cell, and what there is to say about it."""
    to.simulator.reset()
    try:
        getattr(caller, feature)(to)
        if feature == "text":
            to.simulator.path_was(to.path)
        return "yes", ""
    except Different as error:
        return "no", str(error)
    except Exception as error:  # noqa: BLE001: whatever an SDK raises is what its user sees
        field = refused_field(error)
        if field is None:
            return "no", f"{type(error).__name__}: {error}"
        if to.simulator.billed()["calls"]:
            return "no", f"refused after the provider was asked: {error}"
        return "refused", field


def main():
    world = json.load(sys.stdin)
    # A part of `caller/provider/feature` to look at alone; then what reached the provider is told as well.
    wanted = os.environ.get("FRONTDOOR_MATRIX", "")
    simulator = Simulator(world["simulator"])
    for kind in callers(sys.argv[1:]):
        caller = kind(world)
        for told in world["providers"]:
            to = Provider(told, simulator, kind.name)
            if kind.only and to.name not in kind.only:
                continue
            caller.connect(to)
            for feature in world["features"]:
                if feature in ("embeddings", "refusal") and not told[feature]:
                    continue
                cell = f"{kind.name}/{to.name}/{feature}"
                if getattr(kind, feature, None) is None or wanted not in cell:
                    continue
                began = time.monotonic()
                outcome, detail = try_cell(caller, feature, to)
                took = round((time.monotonic() - began) * 1000)
                line = {"caller": kind.name, "provider": to.name, "feature": feature, "outcome": outcome}
                if wanted:
                    line["requests"] = simulator.requests()
                print(json.dumps({**line, "detail": short(detail), "ms": took}), flush=True)


main()
