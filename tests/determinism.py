"""What the demo's lessons come to, to the byte: the lesson, the losses, the weights' hash, the report, all answers.

    python tests/determinism.py FOLDER [FACT …] [--seed 0] [--against OTHER]

writes one JSON file a fact into FOLDER, with what differs by chance or by the clock left out. `--against` compares them
with the files of another run: of the same code, which shows that a seed decides everything, or of other code on the
same machine, which shows that a change of structure changed nothing that is learned.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FACTS = ("leave", "hotline", "price", "procedure")
BY_CHANCE = {"id", "created_at", "seconds"}


def without_chance(value: Any) -> Any:
    """JSON without the fields that no seed decides."""
    match value:
        case dict():
            return {name: without_chance(each) for name, each in value.items() if name not in BY_CHANCE}
        case list():
            return [without_chance(each) for each in value]
        case _:
            return value


def learned(fact: str, seed: int) -> dict[str, Any]:
    """The demo's outcome, and its version's lesson and manifest. One thread, so that sums have one order."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "outcome.json"
        demo = [sys.executable, "-m", "lifelearn", "demo", "--fact", fact, "--seed", str(seed), "--data", str(folder)]
        alone = os.environ | {"OMP_NUM_THREADS": "1"}
        # A demo that does not pass is compared too.
        subprocess.run([*demo, "--json", str(file)], check=False, env=alone, stdout=subprocess.DEVNULL)
        parts = {"outcome": file}
        for part in ("lesson", "manifest"):
            (parts[part],) = folder.glob(f"versions/*/{part}.json")
        found: dict[str, Any] = without_chance({part: json.loads(path.read_text()) for part, path in parts.items()})
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("facts", nargs="*", metavar="FACT", default=FACTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--against", type=Path, metavar="OTHER")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    others = 0
    for fact in arguments.facts:
        result = learned(fact, arguments.seed)
        text = json.dumps(result, ensure_ascii=False, indent=1)
        (arguments.folder / f"{fact}.json").write_text(text)
        training = result["manifest"]["training"]
        said = f"{fact}: {len(training['losses'])} steps, weights {result['manifest']['sha256'][:12]}"
        if arguments.against is not None:
            same = (arguments.against / f"{fact}.json").read_text() == text
            others += not same
            said += ", the same to the byte" if same else f", NOT the same as in {arguments.against}"
        print(said, flush=True)
    sys.exit(others > 0)


if __name__ == "__main__":
    main()
