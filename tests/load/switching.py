"""Fifty organisations with five versions each on one base model: what switching between them costs, and memory.

    python tests/load/switching.py --version FOLDER [--json FILE]

FOLDER: a version of the bundled model, such as life_learn_models/versions/0001; it is copied 250 times. Switching is
the first answer's extra time with another organisation's version than the one before: fresh from the disk, and kept.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from server import memory_mib, tell

from lifelearn.chat_models.local import KEPT, LocalChatModel
from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.types import Message
from lifelearn.settings import load_settings

ORGANIZATIONS, VERSIONS = 50, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settings = load_settings()
    asked = (Message(role="user", content="Hello there"),)
    with tempfile.TemporaryDirectory() as folder:
        places = [
            [Path(folder) / f"{organization}-{version}" for version in range(VERSIONS)]
            for organization in range(ORGANIZATIONS)
        ]
        for place in places:
            for version in place:
                shutil.copytree(options.version, version)
        model = LocalChatModel.load(settings.base_model_name, settings.cache_dir)

        def answer(weights: Path | None) -> float:
            started = time.perf_counter()
            network = model.network_for(weights)
            next(iter(model.pieces(model.prompt(asked, 1), Sampling(max_tokens=1), network)))
            return time.perf_counter() - started

        for _ in range(5):
            base = answer(None)
        base = statistics.median(answer(None) for _ in range(10))
        alone = memory_mib("self")
        fresh = [answer(place[-1]) - base for place in places]
        kept = [answer(place[-1]) - base for place in places[-KEPT:]]
        after = memory_mib("self")
        for number in range(VERSIONS - 1):  # the others, too: only the last ones stay
            for place in places:
                answer(place[number])
        told = {
            "organizations": ORGANIZATIONS,
            "versions": ORGANIZATIONS * VERSIONS,
            "switch_ms_from_disk": round(statistics.median(fresh) * 1000, 1),
            "switch_ms_from_disk_p95": round(sorted(fresh)[int(0.95 * len(fresh))] * 1000, 1),
            "switch_ms_kept": round(statistics.median(kept) * 1000, 1),
            "mib_base": alone,
            "mib_after_50": after,
            "mib_after_250": memory_mib("self"),
            "adapters_kept": KEPT,
            "adapter_mib": round(sum(file.stat().st_size for file in options.version.iterdir()) / 2**20, 1),
        }
    tell(told, options.json)


if __name__ == "__main__":
    main()
