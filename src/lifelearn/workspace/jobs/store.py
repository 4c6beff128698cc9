"""The version store that a lesson is learned in: in its work folder, with what it is learned on top of."""

from __future__ import annotations

import json

from lifelearn.learning.version import VersionStore, replace_file
from lifelearn.workspace.jobs.orders import Order


def store_for(order: Order) -> VersionStore:
    """A store in the work folder, with links to the lineage, in which the parent is active."""
    store = VersionStore(order.work / "store", adds=order.number)
    versions = store.path(order.number).parent
    versions.mkdir(parents=True, exist_ok=True)
    for left in [each for each in versions.iterdir() if each.is_symlink()]:  # of an earlier plan, maybe of another line
        left.unlink()
    for number, folder in order.lineage.items():
        store.path(number).symlink_to(folder.absolute(), target_is_directory=True)
    replace_file(store.root / "active", json.dumps({"version": order.parent}))
    return store
