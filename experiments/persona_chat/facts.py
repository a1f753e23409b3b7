"""Write the sentences of each persona, which the consistency score compares replies with.

    python experiments/persona_chat/facts.py PERSONACHAT [shared|exact|paml] > facts.json

PERSONACHAT is the folder of the data set, as in `dataset.root`; the second word is that of `dataset.personas`.
"""

import json
import sys
from typing import Any

from metadialog.datasets.personachat import PersonaChatDataset


def main(root: str, personas: Any = "shared") -> None:  # noqa: ANN401 - one of three words
    """Print a JSON object: the sentences by the topic's name."""
    json.dump(PersonaChatDataset(root=root, personas=personas).sentences(), sys.stdout, indent=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
